"""A potential that is loaded only when something has to be computed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from elphant.config.models import PotentialConfig
from elphant.models.registry import find_model, parse_potential, require_head
from elphant.store.atomic import sha256_of_file

if TYPE_CHECKING:
    from elphant.models.potentials.loading import PotentialSettings
    from elphant.models.potentials.protocol import Potential


class PotentialSource:
    """Knows the identity of a potential at once and loads its network on first use.

    A run whose stages are all stored never loads the network, so that repeating a finished
    command takes seconds.

    Parameters
    ----------
    config : PotentialConfig
        The user's choice.
    device : str
        Resolved device.
    """

    def __init__(self, config: PotentialConfig, device: str) -> None:
        from elphant.models.potentials.loading import PotentialSettings

        self.settings: PotentialSettings = PotentialSettings(
            spec=config.model if config.head is None else f"{config.model}:{config.head}",
            dispersion=None if config.dispersion == "none" else config.dispersion,
            functional=config.dispersion_functional,
            dtype=config.dtype,
            device=device,
            python=config.python,
            trust=config.trust,
        )
        self._potential: Potential | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """What determines the numbers: part of the address of every stage that uses them.

        Raises
        ------
        ModelError
            If the model or its head does not exist.
        """
        reference = parse_potential(self.settings.spec)
        sha256, head = "", reference.head
        if reference.kind == "named":
            entry = find_model(reference.name)
            sha256 = entry.sha256
            if entry.heads:
                head = require_head(entry.name, head, entry.heads)
        elif reference.kind == "file":
            from pathlib import Path

            sha256 = sha256_of_file(Path(reference.name))
        return {
            "kind": reference.kind,
            "name": sha256 if reference.kind == "file" else reference.name,
            "head": head,
            "sha256": sha256,
            "dtype": self.settings.dtype,
            "dispersion": self.settings.dispersion,
            "functional": self.settings.functional,
        }

    def get(self) -> Potential:
        """Return the loaded potential."""
        if self._potential is None:
            from elphant.models.potentials.loading import load_potential

            self._potential = load_potential(self.settings)
        return self._potential

    def close(self) -> None:
        """Release the network if it was loaded."""
        if self._potential is not None:
            self._potential.close()
            self._potential = None
