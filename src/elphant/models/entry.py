"""One line of the model registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from elphant.models.card import ModelCard

Provider = Literal["sevennet", "mace", "ase"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """Where the weights of a named model come from, and what the registry knows about them.

    Attributes
    ----------
    name, aliases : str, tuple of str
        Canonical name and other accepted spellings, lower case.
    provider : {"sevennet", "mace"}
        Code that evaluates the model.
    level_of_theory : str
        Functional and training data.
    licence, non_commercial
        Terms of the weights.
    heads : tuple of str
        Heads or modalities; a model with several demands a choice.
    head_levels : tuple of str
        Level of theory of each head, where it differs.
    sha256 : str
        Pinned digest; empty where upstream publishes none (then trust on first use).
    size : int
        File size in bytes, 0 if unknown.
    package, package_file : str
        Installed package and path inside it, for weights that come with a wheel.
    url : str
        Download address, for weights that are fetched.
    path : str
        File of a user-added model.
    cutoff, n_layers
        Radius of one interaction layer (Å) and number of layers.
    references : tuple of str
        Keys of :mod:`elphant.models.citations`.
    notes : str
        What a user should know.
    """

    name: str
    provider: Provider
    level_of_theory: str
    licence: str
    aliases: tuple[str, ...] = ()
    non_commercial: bool = False
    heads: tuple[str, ...] = ()
    head_levels: tuple[str, ...] = ()
    sha256: str = ""
    size: int = 0
    package: str = ""
    package_file: str = ""
    url: str = ""
    path: str = ""
    cutoff: float | None = None
    n_layers: int | None = None
    references: tuple[str, ...] = ()
    notes: str = ""

    @property
    def location(self) -> Literal["installed", "download", "user"]:
        """How the weights reach this machine."""
        if self.package:
            return "installed"
        return "user" if self.path else "download"

    @property
    def licence_line(self) -> str:
        """One line about the terms of use, for the log and the report."""
        limit = "; NON-COMMERCIAL use only" if self.non_commercial else ""
        return f"{self.name}: weights under {self.licence}{limit}"

    def card(self, head: str | None = None) -> ModelCard:
        """Return the model card, with the level of theory of ``head`` where one is chosen."""
        level = self.level_of_theory
        if head is not None and self.head_levels:
            level = self.head_levels[self.heads.index(head)]
        field = None
        if self.cutoff is not None and self.n_layers is not None:
            field = self.cutoff * self.n_layers
        return ModelCard(
            name=self.name,
            provider=self.provider,
            level_of_theory=level,
            licence=self.licence,
            non_commercial=self.non_commercial,
            heads=self.heads,
            head=head,
            sha256=self.sha256,
            cutoff=self.cutoff,
            receptive_field=field,
            references=self.references,
            source=self.url or self.path or f"{self.package}:{self.package_file}",
            notes=self.notes,
        )

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> ModelEntry:
        """Rebuild an entry from its stored fields (lists become tuples)."""
        fields: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in record.items()
        }
        return cls(**fields)
