"""A Hamiltonian that is computed or read only when a stage needs it."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elphant.config.models import HamiltonianConfig
from elphant.crystal import Crystal
from elphant.errors import ConfigurationError
from elphant.store.atomic import sha256_of_file

if TYPE_CHECKING:
    from elphant.engine.progress import Progress
    from elphant.models.hamiltonians.hamgnn.provider import UniHamGNNProvider
    from elphant.models.hamiltonians.protocol import HamiltonianProvider
    from elphant.orbitals import LocalOrbitalHamiltonian

#: Options of :class:`HamiltonianConfig` that only the networks of uni-hamgnn have.
NETWORK_OPTIONS = ("spin_orbit", "dtype", "reach", "threshold")


class HamiltonianSource:
    """Knows the identity of a Hamiltonian at once and computes or reads it on first use.

    Parameters
    ----------
    config : HamiltonianConfig
        The user's choice.
    file : Path or None
        Hamiltonian file or folder; it takes the place of the model.
    given : Crystal or None
        The structure of the job, for files that do not hold theirs.
    tolerance : float, Å
        With which the symmetry of the crystal is found.
    orbital_floor : float, optional, Å^(-3/2)
        Where Gaussians are cut on a density grid; by default as the provider does.
    device : str
        On which networks run, as in ``execution.device``; it changes no number.
    """

    def __init__(
        self,
        config: HamiltonianConfig,
        file: Path | None,
        given: Crystal | None,
        tolerance: float,
        orbital_floor: float | None = None,
        device: str = "cpu",
    ) -> None:
        self.config, self.file, self._given = config, file, given
        self.tolerance, self._orbital_floor = tolerance, orbital_floor
        self._device = device

    @property
    def is_none(self) -> bool:
        """Whether the user wants no Hamiltonian."""
        return self.file is None and self.config.model == "none"

    def require(self) -> None:
        """Raise at once if there is no such model, file or package.

        Raises
        ------
        ConfigurationError
            If no Hamiltonian is wanted although the tasks need one, or an option has no effect.
        ModelError, DependencyError
            If the model is unknown, or its package is missing.
        """
        from elphant.models.hamiltonians.loading import require_hamiltonian

        if self.is_none:
            raise ConfigurationError(
                "the tasks need a Hamiltonian, but hamiltonian.model is none.",
                fix="Use --hamiltonian pyscf, or give a Hamiltonian file.",
            )
        if self.file is None and self.config.n_electrons is not None:
            raise ConfigurationError(
                f"--n-electrons has no effect with the model {self.config.model}.",
                "A model knows its electrons; only files of some programs do not.",
                "Leave it out.",
            )
        self._require_effective_options()
        require_hamiltonian(self.file or self.config.model)
        if self._is_network:
            self._networks()

    def _require_effective_options(self) -> None:
        if self._is_network:
            return
        defaults = HamiltonianConfig()
        for name in NETWORK_OPTIONS:
            value = getattr(self.config, name)
            if value != getattr(defaults, name):
                model = "a Hamiltonian file" if self.file else f"the model {self.config.model}"
                raise ConfigurationError(
                    f"hamiltonian.{name}={value} has no effect with {model}.",
                    "It is a choice of the networks of uni-hamgnn.",
                    "Leave it out, or use --hamiltonian uni-hamgnn.",
                )

    @property
    def _is_network(self) -> bool:
        return self.file is None and self.config.model == "uni-hamgnn"

    def _networks(self, memory_gb: float | None = None) -> UniHamGNNProvider:
        """Return the provider of uni-hamgnn with the user's choices."""
        from elphant.models.hamiltonians.hamgnn.choices import UniHamGNNSettings
        from elphant.models.hamiltonians.hamgnn.provider import UniHamGNNProvider

        options = {name: getattr(self.config, name) for name in NETWORK_OPTIONS}
        settings = UniHamGNNSettings(
            **options, symmetry_tolerance=self.tolerance, device=self._device
        )
        return UniHamGNNProvider(settings=settings, memory_gb=memory_gb)

    @cached_property
    def digest(self) -> str:
        """The sha256 of the file, or of the files of the folder; empty for a model."""
        from elphant.models.hamiltonians.loading import digest_of

        return digest_of(self.file) if self.file else ""

    @property
    def identity(self) -> dict[str, Any]:
        """What determines the numbers: part of the address of every stage that uses them."""
        if self.file is not None:
            return {"file": self.digest, "n_electrons": self.config.n_electrons}
        # What has no effect must not make other work of the same.
        options = self.config.model_dump(mode="json", exclude=set(NETWORK_OPTIONS))
        options |= {"tolerance": self.tolerance}
        parameters = Path(self.config.model.partition(":")[2])
        if self.config.model.partition(":")[2] and parameters.is_file():
            # A set that was edited is another set.
            options["parameters_sha256"] = sha256_of_file(parameters)
        if self._is_network:
            symbols = () if self._given is None else self._given.symbols
            options["network"] = self._networks().identity(symbols)
        return options

    @cached_property
    def from_file(self) -> LocalOrbitalHamiltonian:
        """The Hamiltonian of the file."""
        from elphant.models.hamiltonians.loading import load_hamiltonian

        assert self.file is not None
        return load_hamiltonian(
            self.file, structure=self._given, n_electrons=self.config.n_electrons
        )

    def provider(
        self, memory_gb: float, checkpoint: Path, progress: Progress
    ) -> HamiltonianProvider:
        """Return the model, ready to compute.

        Parameters
        ----------
        memory_gb : float
            Memory bound.
        checkpoint : Path
            Where an unfinished self-consistent density is kept.
        progress : Progress
        """
        options = self.config
        if self._is_network:
            return self._networks(memory_gb)
        if options.model != "pyscf":
            from elphant.models.hamiltonians.loading import provider_of

            return provider_of(options.model)
        from elphant.models.hamiltonians.pyscf import PySCFProvider, PySCFSettings

        settings = PySCFSettings(
            basis=options.basis,
            functional=options.functional,
            self_consistent=options.self_consistent,
            k_mesh=options.mesh,
            k_spacing=options.mesh_spacing,
            cutoff=options.cutoff,
            symmetry_tolerance=self.tolerance,
            memory_gb=memory_gb,
            checkpoint=checkpoint,
        )
        if self._orbital_floor is not None:
            settings = replace(settings, orbital_floor=self._orbital_floor)
        return PySCFProvider(settings, progress=progress)
