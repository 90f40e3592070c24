"""Bibliography: BibTeX entries of the models, methods and programs that elphant builds on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from elphant.errors import ConfigurationError


def _article(key: str, author: str, title: str, journal: str, **fields: str) -> str:
    return _entry("article", key, author=author, title=title, journal=journal, **fields)


def _entry(kind: str, key: str, **fields: str) -> str:
    lines = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items())
    return f"@{kind}{{{key},\n{lines}\n}}"


#: BibTeX entry of each key that model cards and results may name.
CITATIONS: Final[dict[str, str]] = {
    "elphant": _entry(
        "software",
        "elphant",
        author="{The elphant developers}",
        title="elphant: anisotropic electron and phonon transport of crystals from "
        "machine-learning foundation models",
        year="2026",
    ),
    # --- interatomic potentials --------------------------------------------------------------
    "sevennet": _article(
        "sevennet",
        "Park, Yutack and Kim, Jaesun and Hwang, Seungwoo and Han, Seungwu",
        "Scalable Parallel Algorithm for Graph Neural Network Interatomic Potentials in "
        "Molecular Dynamics Simulations",
        "J. Chem. Theory Comput.",
        volume="20",
        number="11",
        pages="4857--4868",
        year="2024",
        doi="10.1021/acs.jctc.4c00190",
    ),
    "sevennet_mf": _article(
        "sevennet_mf",
        "Kim, Jaesun and Kim, Jisu and Kim, Jaehoon and Lee, Jiho and Park, Yutack and "
        "Kang, Youngho and Han, Seungwu",
        "Data-Efficient Multifidelity Training for High-Fidelity Machine Learning Interatomic "
        "Potentials",
        "J. Am. Chem. Soc.",
        volume="147",
        number="1",
        pages="1042--1054",
        year="2024",
        doi="10.1021/jacs.4c14455",
    ),
    "sevennet_omni": _article(
        "sevennet_omni",
        "Kim, Jaesun and You, Jinmu and Park, Yutack and Lim, Yunsung and Kang, Yujin and "
        "Kim, Jisu and Jeon, Haekwan and Ju, Suyeon and Hong, Deokgi and Lee, Seung Yul and "
        "Choi, Saerom and Kim, Yongdeok and Lee, Jae W. and Han, Seungwu",
        "Optimizing cross-domain transfer for universal machine learning interatomic potentials",
        "Nat. Commun.",
        year="2026",
        doi="10.1038/s41467-026-70195-8",
    ),
    "mace": _entry(
        "inproceedings",
        "mace",
        author="Batatia, Ilyes and Kov{\\'a}cs, D{\\'a}vid P{\\'e}ter and Simm, Gregor N. C. and "
        "Ortner, Christoph and Cs{\\'a}nyi, G{\\'a}bor",
        title="{MACE}: Higher Order Equivariant Message Passing Neural Networks for Fast and "
        "Accurate Force Fields",
        booktitle="Advances in Neural Information Processing Systems",
        year="2022",
        url="https://openreview.net/forum?id=YPpSngE-ZU",
    ),
    "mace_mp": _entry(
        "misc",
        "mace_mp",
        author="Batatia, Ilyes and Benner, Philipp and Chiang, Yuan and others",
        title="A foundation model for atomistic materials chemistry",
        year="2023",
        eprint="2401.00096",
        eprinttype="arxiv",
        doi="10.48550/arXiv.2401.00096",
    ),
    "mace_mh": _entry(
        "misc",
        "mace_mh",
        author="Batatia, Ilyes and Lin, Chen and Hart, Joseph and Kasoar, Elliott and "
        "Elena, Alin M. and Norwood, Sam Walton and Wolf, Thomas and Cs{\\'a}nyi, G{\\'a}bor",
        title="Cross Learning between Electronic Structure Theories for Unifying Molecular, "
        "Surface, and Inorganic Crystal Foundation Force Fields",
        year="2025",
        eprint="2510.25380",
        eprinttype="arxiv",
        doi="10.48550/arXiv.2510.25380",
    ),
    # --- dispersion --------------------------------------------------------------------------
    "grimme2010": _article(
        "grimme2010",
        "Grimme, Stefan and Antony, Jens and Ehrlich, Stephan and Krieg, Helge",
        "A consistent and accurate ab initio parametrization of density functional dispersion "
        "correction (DFT-D) for the 94 elements H-Pu",
        "J. Chem. Phys.",
        volume="132",
        pages="154104",
        year="2010",
        doi="10.1063/1.3382344",
    ),
    "grimme2011": _article(
        "grimme2011",
        "Grimme, Stefan and Ehrlich, Stephan and Goerigk, Lars",
        "Effect of the damping function in dispersion corrected density functional theory",
        "J. Comput. Chem.",
        volume="32",
        pages="1456--1465",
        year="2011",
        doi="10.1002/jcc.21759",
    ),
    "simple_dftd3": _article(
        "simple_dftd3",
        "Ehlert, Sebastian",
        "Simple DFT-D3: Library first implementation of the D3 dispersion correction",
        "J. Open Source Softw.",
        volume="9",
        number="103",
        pages="7169",
        year="2024",
        doi="10.21105/joss.07169",
    ),
    # --- programs ----------------------------------------------------------------------------
    "ase": _article(
        "ase",
        "Larsen, Ask Hjorth and Mortensen, Jens J{\\o}rgen and Blomqvist, Jakob and others",
        "The atomic simulation environment: a Python library for working with atoms",
        "J. Phys.: Condens. Matter",
        volume="29",
        pages="273002",
        year="2017",
        doi="10.1088/1361-648X/aa680e",
    ),
    "phonopy2015": _article(
        "phonopy2015",
        "Togo, Atsushi and Tanaka, Isao",
        "First principles phonon calculations in materials science",
        "Scr. Mater.",
        volume="108",
        pages="1--5",
        year="2015",
        doi="10.1016/j.scriptamat.2015.07.021",
    ),
    "phonopy2023": _article(
        "phonopy2023",
        "Togo, Atsushi",
        "First-principles Phonon Calculations with Phonopy and Phono3py",
        "J. Phys. Soc. Jpn.",
        volume="92",
        pages="012001",
        year="2023",
        doi="10.7566/JPSJ.92.012001",
    ),
    "phono3py2015": _article(
        "phono3py2015",
        "Togo, Atsushi and Chaput, Laurent and Tanaka, Isao",
        "Distributions of phonon lifetimes in Brillouin zones",
        "Phys. Rev. B",
        volume="91",
        pages="094306",
        year="2015",
        doi="10.1103/PhysRevB.91.094306",
    ),
    "phono3py2023": _article(
        "phono3py2023",
        "Togo, Atsushi and Chaput, Laurent and Tadano, Terumasa and Tanaka, Isao",
        "Implementation strategies in phonopy and phono3py",
        "J. Phys.: Condens. Matter",
        volume="35",
        pages="353001",
        year="2023",
        doi="10.1088/1361-648X/acd831",
    ),
    "symfc": _article(
        "symfc",
        "Seko, Atsuto and Togo, Atsushi",
        "Projector-based efficient estimation of force constants",
        "Phys. Rev. B",
        volume="110",
        pages="214302",
        year="2024",
        doi="10.1103/PhysRevB.110.214302",
    ),
    "spglib": _article(
        "spglib",
        "Togo, Atsushi and Shinohara, Kohei and Tanaka, Isao",
        "Spglib: a software library for crystal symmetry search",
        "Sci. Technol. Adv. Mater., Meth.",
        volume="4",
        pages="2384822",
        year="2024",
        doi="10.1080/27660400.2024.2384822",
    ),
    "seekpath": _article(
        "seekpath",
        "Hinuma, Yoyo and Pizzi, Giovanni and Kumagai, Yu and Oba, Fumiyasu and Tanaka, Isao",
        "Band structure diagram paths based on crystallography",
        "Comput. Mater. Sci.",
        volume="128",
        pages="140--184",
        year="2017",
        doi="10.1016/j.commatsci.2016.10.015",
    ),
    # --- methods -----------------------------------------------------------------------------
    "gonze1997": _article(
        "gonze1997",
        "Gonze, Xavier and Lee, Changyol",
        "Dynamical matrices, Born effective charges, dielectric permittivity tensors, and "
        "interatomic force constants from density-functional perturbation theory",
        "Phys. Rev. B",
        volume="55",
        pages="10355--10368",
        year="1997",
        doi="10.1103/PhysRevB.55.10355",
    ),
    "blochl1994": _article(
        "blochl1994",
        'Bl{\\"o}chl, Peter E. and Jepsen, O. and Andersen, O. K.',
        "Improved tetrahedron method for Brillouin-zone integrations",
        "Phys. Rev. B",
        volume="49",
        pages="16223--16233",
        year="1994",
        doi="10.1103/PhysRevB.49.16223",
    ),
    "chaput2013": _article(
        "chaput2013",
        "Chaput, Laurent",
        "Direct Solution to the Linearized Phonon Boltzmann Equation",
        "Phys. Rev. Lett.",
        volume="110",
        pages="265506",
        year="2013",
        doi="10.1103/PhysRevLett.110.265506",
    ),
    "tamura1983": _article(
        "tamura1983",
        "Tamura, Shin-ichiro",
        "Isotope scattering of dispersive phonons in Ge",
        "Phys. Rev. B",
        volume="27",
        pages="858--866",
        year="1983",
        doi="10.1103/PhysRevB.27.858",
    ),
    "maradudin1962": _article(
        "maradudin1962",
        "Maradudin, A. A. and Fein, A. E.",
        "Scattering of Neutrons by an Anharmonic Crystal",
        "Phys. Rev.",
        volume="128",
        pages="2589--2608",
        year="1962",
        doi="10.1103/PhysRev.128.2589",
    ),
    "fugallo2013": _article(
        "fugallo2013",
        "Fugallo, Giorgia and Lazzeri, Michele and Paulatto, Lorenzo and Mauri, Francesco",
        "Ab initio variational approach for evaluating lattice thermal conductivity",
        "Phys. Rev. B",
        volume="88",
        pages="045430",
        year="2013",
        doi="10.1103/PhysRevB.88.045430",
    ),
    "feng2016": _article(
        "feng2016",
        "Feng, Tianli and Ruan, Xiulin",
        "Quantum mechanical prediction of four-phonon scattering rates and reduced thermal "
        "conductivity of solids",
        "Phys. Rev. B",
        volume="93",
        pages="045202",
        year="2016",
        doi="10.1103/PhysRevB.93.045202",
    ),
    "feng2017": _article(
        "feng2017",
        "Feng, Tianli and Lindsay, Lucas and Ruan, Xiulin",
        "Four-phonon scattering significantly reduces intrinsic thermal conductivity of solids",
        "Phys. Rev. B",
        volume="96",
        pages="161201",
        year="2017",
        doi="10.1103/PhysRevB.96.161201",
    ),
    "fourphonon2022": _article(
        "fourphonon2022",
        "Han, Zherui and Yang, Xiaolong and Li, Wu and Feng, Tianli and Ruan, Xiulin",
        "FourPhonon: An extension module to ShengBTE for computing four-phonon scattering "
        "rates and thermal conductivity",
        "Comput. Phys. Commun.",
        volume="270",
        pages="108179",
        year="2022",
        doi="10.1016/j.cpc.2021.108179",
    ),
    "guo2024": _article(
        "guo2024",
        "Guo, Ziqi and Han, Zherui and Feng, Dudong and Lin, Guang and Ruan, Xiulin",
        "Sampling-accelerated prediction of phonon scattering rates for converged thermal "
        "conductivity and radiative properties",
        "npj Comput. Mater.",
        volume="10",
        pages="31",
        year="2024",
        doi="10.1038/s41524-024-01215-8",
    ),
    "tadano2015": _article(
        "tadano2015",
        "Tadano, Terumasa and Tsuneyuki, Shinji",
        "Self-consistent phonon calculations of lattice dynamical properties in cubic "
        "{SrTiO$_3$} with first-principles anharmonic force constants",
        "Phys. Rev. B",
        volume="92",
        pages="054301",
        year="2015",
        doi="10.1103/PhysRevB.92.054301",
    ),
    "errea2014": _article(
        "errea2014",
        "Errea, Ion and Calandra, Matteo and Mauri, Francesco",
        "Anharmonic free energies and phonon dispersions from the stochastic self-consistent "
        "harmonic approximation: Application to platinum and palladium hydrides",
        "Phys. Rev. B",
        volume="89",
        pages="064302",
        year="2014",
        doi="10.1103/PhysRevB.89.064302",
    ),
    "bianco2017": _article(
        "bianco2017",
        "Bianco, Raffaello and Errea, Ion and Paulatto, Lorenzo and Calandra, Matteo and "
        "Mauri, Francesco",
        "Second-order structural phase transitions, free energy curvature, and "
        "temperature-dependent anharmonic phonons in the self-consistent harmonic approximation: "
        "Theory and stochastic implementation",
        "Phys. Rev. B",
        volume="96",
        pages="014111",
        year="2017",
        doi="10.1103/PhysRevB.96.014111",
    ),
    "eriksson2019": _article(
        "eriksson2019",
        "Eriksson, Fredrik and Fransson, Erik and Erhart, Paul",
        "The Hiphive Package for the Extraction of High-Order Force Constants by Machine Learning",
        "Adv. Theory Simul.",
        volume="2",
        pages="1800184",
        year="2019",
        doi="10.1002/adts.201800184",
    ),
    "macdonald1979": _article(
        "macdonald1979",
        "MacDonald, A. H. and Vosko, S. H. and Coleridge, P. T.",
        "Extensions of the tetrahedron method for evaluating spectral properties of solids",
        "J. Phys. C: Solid State Phys.",
        volume="12",
        pages="2991--3002",
        year="1979",
        doi="10.1088/0022-3719/12/15/008",
    ),
    "simoncelli2019": _article(
        "simoncelli2019",
        "Simoncelli, Michele and Marzari, Nicola and Mauri, Francesco",
        "Unified theory of thermal transport in crystals and glasses",
        "Nat. Phys.",
        volume="15",
        pages="809--813",
        year="2019",
        doi="10.1038/s41567-019-0520-x",
    ),
    "simoncelli2022": _article(
        "simoncelli2022",
        "Simoncelli, Michele and Marzari, Nicola and Mauri, Francesco",
        "Wigner Formulation of Thermal Transport in Solids",
        "Phys. Rev. X",
        volume="12",
        pages="041011",
        year="2022",
        doi="10.1103/PhysRevX.12.041011",
    ),
    "lindsay2008": _article(
        "lindsay2008",
        "Lindsay, L. and Broido, D. A.",
        "Three-phonon phase space and lattice thermal conductivity in semiconductors",
        "J. Phys.: Condens. Matter",
        volume="20",
        pages="165209",
        year="2008",
        doi="10.1088/0953-8984/20/16/165209",
    ),
    # --- data --------------------------------------------------------------------------------
    "phonondb": _entry(
        "misc",
        "phonondb",
        author="Togo, Atsushi",
        title="phonondb at Kyoto University",
        year="2018",
        note="Release 2018-04-17, CC BY 4.0",
    ),
    # --- electronic structure ----------------------------------------------------------------
    "pyscf2020": _article(
        "pyscf2020",
        "Sun, Qiming and Zhang, Xing and Banerjee, Samragni and Bao, Peng and others",
        "Recent developments in the {PySCF} program package",
        "J. Chem. Phys.",
        volume="153",
        pages="024109",
        year="2020",
        doi="10.1063/5.0006074",
    ),
    "goedecker1996": _article(
        "goedecker1996",
        "Goedecker, S. and Teter, M. and Hutter, J.",
        "Separable dual-space {Gaussian} pseudopotentials",
        "Phys. Rev. B",
        volume="54",
        pages="1703",
        year="1996",
        doi="10.1103/PhysRevB.54.1703",
    ),
    "vandevondele2007": _article(
        "vandevondele2007",
        'VandeVondele, Joost and Hutter, J{\\"u}rg',
        "{Gaussian} basis sets for accurate calculations on molecular systems in gas and "
        "condensed phases",
        "J. Chem. Phys.",
        volume="127",
        pages="114105",
        year="2007",
        doi="10.1063/1.2770708",
    ),
    "lippert1997": _article(
        "lippert1997",
        'Lippert, Gerald and Hutter, J{\\"u}rg and Parrinello, Michele',
        "A hybrid {Gaussian} and plane wave density functional scheme",
        "Mol. Phys.",
        volume="92",
        pages="477--488",
        year="1997",
        doi="10.1080/002689797170220",
    ),
    "perdew1996": _article(
        "perdew1996",
        "Perdew, John P. and Burke, Kieron and Ernzerhof, Matthias",
        "Generalized gradient approximation made simple",
        "Phys. Rev. Lett.",
        volume="77",
        pages="3865",
        year="1996",
        doi="10.1103/PhysRevLett.77.3865",
    ),
    "libxc2018": _article(
        "libxc2018",
        "Lehtola, Susi and Steigemann, Conrad and Oliveira, Micael J. T. and Marques, Miguel A. L.",
        "Recent developments in {libxc}",
        "SoftwareX",
        volume="7",
        pages="1--5",
        year="2018",
        doi="10.1016/j.softx.2017.11.002",
    ),
    "slater1954": _article(
        "slater1954",
        "Slater, J. C. and Koster, G. F.",
        "Simplified {LCAO} method for the periodic potential problem",
        "Phys. Rev.",
        volume="94",
        pages="1498",
        year="1954",
        doi="10.1103/PhysRev.94.1498",
    ),
    "luttinger1955": _article(
        "luttinger1955",
        "Luttinger, J. M. and Kohn, W.",
        "Motion of electrons and holes in perturbed periodic fields",
        "Phys. Rev.",
        volume="97",
        pages="869",
        year="1955",
        doi="10.1103/PhysRev.97.869",
    ),
    "becke1990": _article(
        "becke1990",
        "Becke, A. D. and Edgecombe, K. E.",
        "A simple measure of electron localization in atomic and molecular systems",
        "J. Chem. Phys.",
        volume="92",
        pages="5397",
        year="1990",
        doi="10.1063/1.458517",
    ),
    "silvi1994": _article(
        "silvi1994",
        "Silvi, B. and Savin, A.",
        "Classification of chemical bonds based on topological analysis of electron localization "
        "functions",
        "Nature",
        volume="371",
        pages="683--686",
        year="1994",
        doi="10.1038/371683a0",
    ),
    "yu2011": _article(
        "yu2011",
        "Yu, Min and Trinkle, Dallas R.",
        "Accurate and efficient algorithm for {Bader} charge integration",
        "J. Chem. Phys.",
        volume="134",
        pages="064111",
        year="2011",
        doi="10.1063/1.3553716",
    ),
    "okeeffe1991": _article(
        "okeeffe1991",
        "O'Keeffe, M. and Brese, N. E.",
        "Atom sizes and bond lengths in molecules and crystals",
        "J. Am. Chem. Soc.",
        volume="113",
        pages="3226--3229",
        year="1991",
        doi="10.1021/ja00009a002",
    ),
    "brese1991": _article(
        "brese1991",
        "Brese, N. E. and O'Keeffe, M.",
        "Bond-valence parameters for solids",
        "Acta Crystallogr. B",
        volume="47",
        pages="192--197",
        year="1991",
        doi="10.1107/S0108768190011041",
    ),
    "kingsmith1993": _article(
        "kingsmith1993",
        "King-Smith, R. D. and Vanderbilt, David",
        "Theory of polarization of crystalline solids",
        "Phys. Rev. B",
        volume="47",
        pages="1651",
        year="1993",
        doi="10.1103/PhysRevB.47.1651",
    ),
    "adler1962": _article(
        "adler1962",
        "Adler, Stephen L.",
        "Quantum Theory of the Dielectric Constant in Real Solids",
        "Phys. Rev.",
        volume="126",
        pages="413",
        year="1962",
        doi="10.1103/PhysRev.126.413",
    ),
    "wiser1963": _article(
        "wiser1963",
        "Wiser, Nathan",
        "Dielectric Constant with Local Field Effects Included",
        "Phys. Rev.",
        volume="129",
        pages="62",
        year="1963",
        doi="10.1103/PhysRev.129.62",
    ),
}


def bibtex(keys: Iterable[str]) -> str:
    """Return the BibTeX entries of ``keys``, each once and in order, separated by blank lines.

    Raises
    ------
    ConfigurationError
        If a key has no entry.
    """
    wanted = list(dict.fromkeys(keys))
    absent = [key for key in wanted if key not in CITATIONS]
    if absent:
        raise ConfigurationError(
            f"no bibliography entry is known for {', '.join(absent)}.",
            fix="Known keys: " + ", ".join(CITATIONS) + ".",
        )
    return "\n\n".join(CITATIONS[key] for key in wanted) + "\n"
