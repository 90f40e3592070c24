"""Sphinx configuration."""

import sys
from pathlib import Path

import elphant

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "elphant"
author = "The elphant developers"
copyright = "The elphant developers, MIT licence"
version = release = elphant.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "elphant_docstrings",
    "elphant_tables",
]
exclude_patterns = ["_build", "_ext"]
# Names in the shape of an array, such as (n_modes, 3), are no references: they may be ambiguous.
suppress_warnings = ["ref.python"]

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_default_options = {"members": True}
napoleon_numpy_docstring = True
napoleon_google_docstring = False
# Attributes stay a list inside the class: dataclass fields would otherwise be described twice.
napoleon_use_ivar = True
napoleon_use_rtype = False

html_theme = "furo"
html_title = f"elphant {release}"
