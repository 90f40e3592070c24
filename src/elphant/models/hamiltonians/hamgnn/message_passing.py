"""The parts of a layer: messages between atoms, updates of atoms and pairs, heads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from elphant.models.hamiltonians.hamgnn.geometry import EdgeGeometry
from elphant.models.hamiltonians.hamgnn.irreps import Features, Irreps, add
from elphant.models.hamiltonians.hamgnn.layers import (
    Linear,
    RadialNetwork,
    Residual,
    ScaledProduct,
    doubled,
)
from elphant.models.hamiltonians.hamgnn.parameters import ParameterSource
from elphant.models.hamiltonians.hamgnn.settings import NetworkSettings
from elphant.models.hamiltonians.hamgnn.so2 import RotatedProduct

Product = ScaledProduct | RotatedProduct
Place = tuple[torch.dtype, torch.device]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Messages:
    """Messages from two atoms and their pair.

    Attributes
    ----------
    node_product, edge_product : ScaledProduct or RotatedProduct
    node_radial, edge_radial : RadialNetwork
    """

    node_product: Product
    edge_product: Product
    node_radial: RadialNetwork
    edge_radial: RadialNetwork

    @classmethod
    def read(cls, source: ParameterSource, prefix: str, settings: NetworkSettings) -> Messages:
        """Read the tensors below ``prefix``."""
        irreps = settings.irreps
        parts: dict[str, tuple[ScaledProduct, RadialNetwork]] = {}
        for name, first in (("node", doubled(irreps)), ("edge", irreps)):
            product = ScaledProduct.read(
                source, f"{prefix}.{name}_tensor_product", f"{prefix}.{name}_linear_scaler",
                first, settings.harmonics, irreps,
            )  # fmt: skip
            radial = RadialNetwork.read(
                source, f"{prefix}.{name}_weight_generator", settings.n_radial, settings.hidden,
                product.width,
            )  # fmt: skip
            after = Linear.read(source, f"{prefix}.{name}_linear_out.weight", irreps, irreps)
            parts[name] = (product.mixed_by(after), radial)
        return cls(
            node_product=parts["node"][0], edge_product=parts["edge"][0],
            node_radial=parts["node"][1], edge_radial=parts["edge"][1],
        )  # fmt: skip

    def __call__(self, atoms: Features, pairs: Features, geometry: EdgeGeometry) -> Features:
        """Return one message per edge, in the frame of the pairs.

        ``atoms`` holds the channels of both atoms side by side.
        """
        return self.scaled(atoms, pairs, self.scales(geometry.radial), geometry)

    def scales(self, radial: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weights of the channels of both products, (n_edges, width)."""
        return self.node_radial(radial), self.edge_radial(radial)

    def scaled(
        self, atoms: Features, pairs: Features, scales: tuple[Tensor, Tensor],
        geometry: EdgeGeometry,
    ) -> Features:  # fmt: skip
        """Return the messages for weights that are known already."""
        first = self.node_product(atoms, scales[0], geometry)
        return add(first, self.edge_product(pairs, scales[1], geometry))

    def prepared(self, convert: Callable[[Product], Product], place: Place) -> Messages:
        """Return the same messages with other products, in another precision."""
        return Messages(
            node_product=convert(self.node_product).to(*place),
            edge_product=convert(self.edge_product).to(*place),
            node_radial=self.node_radial.to(*place),
            edge_radial=self.edge_radial.to(*place),
        )

    @property
    def values_per_edge(self) -> int:
        """Estimate of the numbers that one edge needs at a time."""
        widest = max(self.node_product.width, self.edge_product.width)
        return 2 * widest + 3 * max(self.node_product.dim, self.edge_product.dim)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Convolution:
    """Update of the atoms.

    Attributes
    ----------
    messages : Messages
    skip : Linear
    residual : Residual
    """

    messages: Messages
    skip: Linear
    residual: Residual

    def update(self, nodes: Features, received: Features) -> Features:
        """Return atoms from their old values and the sums of their messages."""
        return add(self.skip(nodes), self.residual(received))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairUpdate:
    """Update of the pairs.

    Attributes
    ----------
    messages : Messages
    source, target : Linear
        Of the first and the second atom.
    skip : Linear
    """

    messages: Messages
    source: Linear
    target: Linear
    skip: Linear


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Head:
    """From features to the components of a block.

    Attributes
    ----------
    residual : Residual
    linear : Linear
    """

    residual: Residual
    linear: Linear

    @classmethod
    def read(cls, source: ParameterSource, prefix: str, irreps: Irreps, out: Irreps) -> Head:
        """Read the tensors below ``prefix``."""
        return cls(
            residual=Residual.read(source, f"{prefix}.residual_block", irreps),
            linear=Linear.read(source, f"{prefix}.linear_transform.weight", irreps, out),
        )

    def __call__(self, features: Features) -> Features:
        """Return the components."""
        return self.linear(self.residual(features))

    def to(self, dtype: torch.dtype, device: torch.device) -> Head:
        """Return the same head in another precision or on another device."""
        return Head(residual=self.residual.to(dtype, device), linear=self.linear.to(dtype, device))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Embedding:
    """First features of atoms and pairs, from elements and distances.

    Attributes
    ----------
    node : Linear
    source, target : Linear
    product : ScaledProduct or RotatedProduct
    radial : RadialNetwork
    """

    node: Linear
    source: Linear
    target: Linear
    product: Product
    radial: RadialNetwork
