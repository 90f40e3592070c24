"""Model cards: what a model is, where it comes from and under which terms it may be used."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """Description of one model, stored with every result it contributed to.

    Attributes
    ----------
    name : str
        Canonical name, for example ``sevennet-l3i5`` or ``mace-mh-1``.
    provider : str
        Family of the provider: ``sevennet``, ``mace``, ``ase``.
    level_of_theory : str
        Functional and data the model was trained on; with several heads, that of the chosen one.
    licence : str
        Licence of the weights.
    non_commercial : bool
        True when the licence restricts use; the command line and the report then say so.
    heads : tuple of str
        Output heads (MACE) or modalities (SevenNet); empty for a single-headed model.
    head : str or None
        The head in use.
    elements : tuple of str
        Chemical symbols the model knows; empty when it does not say.
    sha256 : str
        Digest of the weights file; empty for models without a file.
    dtype : str
        Floating-point type the network is evaluated in.
    cutoff : float or None
        Radius of one interaction layer, Å.
    receptive_field : float or None
        Distance over which one atom can influence another, Å (cutoff times number of layers).
    references : tuple of str
        Keys of :mod:`elphant.models.citations` entries.
    dispersion : str
        Dispersion correction added to the model, for example ``D3(BJ), PBE``; empty if none.
    source : str
        File path, URL or ``module:factory`` the model came from.
    notes : str
        What a user should know before trusting it.
    """

    name: str
    provider: str
    level_of_theory: str
    licence: str
    non_commercial: bool = False
    heads: tuple[str, ...] = ()
    head: str | None = None
    elements: tuple[str, ...] = ()
    sha256: str = ""
    dtype: str = "float64"
    cutoff: float | None = None
    receptive_field: float | None = None
    references: tuple[str, ...] = ()
    dispersion: str = ""
    source: str = ""
    notes: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the record stored in ``results.json``."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> ModelCard:
        """Rebuild a card from :meth:`to_dict` (lists become tuples)."""
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in record.items()
        }
        return cls(**fields)
