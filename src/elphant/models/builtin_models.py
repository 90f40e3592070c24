"""The built-in table of named models. One entry per set of weights, nothing computed."""

from __future__ import annotations

from typing import Final

from elphant.models.entry import ModelEntry

_SEVENNET_RELEASES = "https://github.com/MDIL-SNU/SevenNet/releases/download"
_MACE_RELEASES = "https://github.com/ACEsuit/mace-foundations/releases/download"

_PBE_U = "PBE(+U), MPtrj"
_ASL = "Academic Software License (ASL)"

_SEVENNET = ("sevennet",)
_MACE_MP = ("mace", "mace_mp")
_MACE_MH = ("mace", "mace_mh")

#: Modalities of the SevenNet-Omni family and the functional behind each.
_OMNI_HEADS: Final = {
    "mpa": "PBE(+U), MPtrj + sAlex",
    "omat24": "PBE(+U), OMat24",
    "matpes_pbe": "PBE, MatPES",
    "matpes_r2scan": "r2SCAN, MatPES",
    "mp_r2scan": "r2SCAN, Materials Project",
    "oc20": "RPBE, OC20",
    "oc22": "PBE(+U), OC22",
    "odac23": "PBE-D3, ODAC23",
    "omol25_low": "wB97M-V, OMol25",
    "omol25_high": "wB97M-V, OMol25 (high spin)",
    "spice": "wB97M, SPICE",
    "qcml": "PBE0, QCML",
    "pet_mad": "PBEsol, MAD",
}

#: Heads of the MACE-MH files, in the order of the file, and the functional behind each.
_MH_HEADS: Final = {
    "matpes_r2scan": "r2SCAN, MatPES",
    "mp_pbe_refit_add": "PBE(+U), Materials Project",
    "spice_wB97M": "wB97M, SPICE",
    "oc20_usemppbe": "PBE(+U), OC20",
    "omol": "wB97M-V, OMol25",
    "omat_pbe": "PBE(+U), OMat24",
}


def _in_wheel(name: str, folder: str, sha256: str, size: int, **fields: object) -> ModelEntry:
    """Return an entry whose weights come inside the sevenn wheel."""
    return ModelEntry(
        name=name,
        provider="sevennet",
        licence="MIT",
        package="sevenn",
        package_file=f"pretrained_potentials/{folder}",
        sha256=sha256,
        size=size,
        cutoff=5.0,
        n_layers=5,
        **fields,  # type: ignore[arg-type]
    )


def _sevennet_download(name: str, file: str, level: str, **fields: object) -> ModelEntry:
    return ModelEntry(
        name=name,
        provider="sevennet",
        level_of_theory=level,
        licence="MIT (licence of the SevenNet repository)",
        url=f"{_SEVENNET_RELEASES}/{file}",
        **fields,  # type: ignore[arg-type]
    )


def _mace_download(name: str, file: str, level: str, **fields: object) -> ModelEntry:
    return ModelEntry(
        name=name,
        provider="mace",
        level_of_theory=level,
        url=f"{_MACE_RELEASES}/{file}",
        **fields,  # type: ignore[arg-type]
    )


BUILTIN_MODELS: Final[tuple[ModelEntry, ...]] = (
    # --- inside the sevenn wheel -------------------------------------------------------------
    _in_wheel(
        "sevennet-l3i5",
        "SevenNet_l3i5/checkpoint_l3i5.pth",
        "a7ff190d41efe5b8317a03d20a468e4036a1a3e64e0b14fdbab64ac3f4bfc09d",
        14345754,
        level_of_theory=_PBE_U,
        aliases=("7net-l3i5", "l3i5", "sevennet", "default"),
        references=_SEVENNET,
        notes="Comes with the installation. kappa_SRME 0.55: for trials, not for publications.",
    ),
    _in_wheel(
        "sevennet-0",
        "SevenNet_0__11Jul2024/checkpoint_sevennet_0.pth",
        "7052cb42b7b3be42b40b97fa0d21077a48c54b5548948fc4dcf346629f813c36",
        10268648,
        level_of_theory=_PBE_U,
        aliases=("7net-0", "sevennet-0-11jul2024", "7net-0_11jul2024"),
        references=_SEVENNET,
        notes="Comes with the installation; about three times faster than l3i5. kappa_SRME 0.76.",
    ),
    _in_wheel(
        "sevennet-0-22may2024",
        "SevenNet_0__22May2024/checkpoint_sevennet_0.pth",
        "5d389fafd512e6ae2830d74d0b66ffc49a55d3832653ff8e7bf7f1343013c1d1",
        10268712,
        level_of_theory=_PBE_U,
        aliases=("7net-0_22may2024",),
        references=_SEVENNET,
        notes="Comes with the installation. The first release, superseded by sevennet-0.",
    ),
    _in_wheel(
        "sevennet-mf-0",
        "SevenNet_MF_0/checkpoint_sevennet_mf_0.pth",
        "81791329b37d445f46b531578c182c41792d98c7814222c9e5dde276402225fd",
        10322158,
        level_of_theory="PBE(+U) and r2SCAN, Materials Project",
        heads=("R2SCAN", "PBE"),
        head_levels=("r2SCAN, Materials Project", "PBE(+U), Materials Project"),
        aliases=("7net-mf-0", "mf-0"),
        references=("sevennet", "sevennet_mf"),
        notes="Comes with the installation. Two modalities: PBE and R2SCAN.",
    ),
    # --- SevenNet downloads ------------------------------------------------------------------
    _sevennet_download(
        "sevennet-mf-ompa",
        "v0.11.0.cp/checkpoint_sevennet_mf_ompa.pth",
        "PBE(+U), MPtrj + sAlex and OMat24",
        heads=("mpa", "omat24"),
        head_levels=("PBE(+U), MPtrj + sAlex", "PBE(+U), OMat24"),
        aliases=("7net-mf-ompa", "mf-ompa"),
        references=("sevennet", "sevennet_mf"),
        notes="kappa_SRME 0.32.",
    ),
    _sevennet_download(
        "sevennet-omat",
        "v0.11.0.cp/checkpoint_sevennet_omat.pth",
        "PBE(+U), OMat24",
        aliases=("7net-omat",),
        references=_SEVENNET,
        notes="kappa_SRME 0.22.",
    ),
    _sevennet_download(
        "sevennet-omni",
        "v0.12.0.cp/checkpoint_sevennet_omni.pth",
        "several, by modality",
        heads=tuple(_OMNI_HEADS),
        head_levels=tuple(_OMNI_HEADS.values()),
        aliases=("7net-omni", "omni"),
        references=("sevennet", "sevennet_mf", "sevennet_omni"),
        notes="kappa_SRME 0.27 with the modality mpa.",
    ),
    _sevennet_download(
        "sevennet-omni-i8",
        "v0.12.1.cp/checkpoint_sevennet_omni_i8.pth",
        "several, by modality",
        heads=tuple(_OMNI_HEADS),
        head_levels=tuple(_OMNI_HEADS.values()),
        aliases=("7net-omni-i8", "omni-i8"),
        references=("sevennet", "sevennet_mf", "sevennet_omni"),
        notes="kappa_SRME 0.26 with the modality mpa.",
    ),
    _sevennet_download(
        "sevennet-omni-i12",
        "v0.12.1.cp/checkpoint_sevennet_omni_i12.pth",
        "several, by modality",
        heads=tuple(_OMNI_HEADS),
        head_levels=tuple(_OMNI_HEADS.values()),
        aliases=("7net-omni-i12", "omni-i12"),
        references=("sevennet", "sevennet_mf", "sevennet_omni"),
        notes="kappa_SRME 0.19 with the modality mpa; the most accurate and slowest of its family.",
    ),
    # --- MACE downloads ----------------------------------------------------------------------
    _mace_download(
        "mace-mh-1",
        "mace_mh_1/mace-mh-1.model",
        "several, by head",
        licence=_ASL,
        non_commercial=True,
        heads=tuple(_MH_HEADS),
        head_levels=tuple(_MH_HEADS.values()),
        aliases=("mh-1", "mace-mh1"),
        cutoff=6.0,
        n_layers=2,
        references=_MACE_MH,
        notes="The authors use head omat_pbe for phonons; matpes_r2scan is a second opinion.",
    ),
    _mace_download(
        "mace-mh-0",
        "mace_mh_1/mace-mh-0.model",
        "several, by head",
        licence=_ASL,
        non_commercial=True,
        # The heads of this earlier file are read from it, not promised here.
        aliases=("mh-0",),
        references=_MACE_MH,
        notes="Forerunner of mace-mh-1, several heads; choose one with mace-mh-0:HEAD.",
    ),
    _mace_download(
        "mace-mpa-0",
        "mace_mpa_0/mace-mpa-0-medium.model",
        "PBE(+U), MPtrj + sAlex",
        licence="MIT",
        aliases=("mpa-0", "medium-mpa-0", "mace-mpa-0-medium"),
        cutoff=6.0,
        n_layers=2,
        references=_MACE_MP,
        notes="kappa_SRME 0.41; the unrestricted MACE default.",
    ),
    _mace_download(
        "mace-mp-0-small",
        "mace_mp_0/2023-12-10-mace-128-L0_energy_epoch-249.model",
        _PBE_U,
        licence="MIT",
        aliases=("mace-mp-0a-small",),
        cutoff=6.0,
        n_layers=2,
        references=_MACE_MP,
    ),
    _mace_download(
        "mace-mp-0-medium",
        "mace_mp_0/2023-12-03-mace-128-L1_epoch-199.model",
        _PBE_U,
        licence="MIT",
        aliases=("mace-mp-0", "mace-mp-0a-medium"),
        cutoff=6.0,
        n_layers=2,
        references=_MACE_MP,
        notes="kappa_SRME 0.68.",
    ),
    _mace_download(
        "mace-mp-0-large",
        "mace_mp_0/2024-01-07-mace-128-L2_epoch-199.model",
        _PBE_U,
        licence="MIT",
        aliases=("mace-mp-0a-large",),
        cutoff=6.0,
        n_layers=2,
        references=_MACE_MP,
    ),
    _mace_download(
        "mace-mp-0b3",
        "mace_mp_0b3/mace-mp-0b3-medium.model",
        _PBE_U,
        licence="MIT",
        aliases=("mace-mp-0b3-medium", "medium-0b3"),
        references=_MACE_MP,
        notes="Revised MP-0 with smoother phonons and high-pressure behaviour.",
    ),
    _mace_download(
        "mace-omat-0",
        "mace_omat_0/mace-omat-0-medium.model",
        "PBE(+U), OMat24",
        licence=_ASL,
        non_commercial=True,
        aliases=("omat-0", "medium-omat-0", "mace-omat-0-medium"),
        references=_MACE_MP,
    ),
    _mace_download(
        "mace-matpes-pbe-0",
        "mace_matpes_0/MACE-matpes-pbe-omat-ft.model",
        "PBE, MatPES",
        licence=_ASL,
        non_commercial=True,
        aliases=("matpes-pbe-0", "mace-matpes-pbe"),
        references=_MACE_MP,
        notes="Trained without Hubbard U.",
    ),
    _mace_download(
        "mace-matpes-r2scan-0",
        "mace_matpes_0/MACE-matpes-r2scan-omat-ft.model",
        "r2SCAN, MatPES",
        licence=_ASL,
        non_commercial=True,
        aliases=("matpes-r2scan-0", "mace-matpes-r2scan"),
        references=_MACE_MP,
    ),
)
