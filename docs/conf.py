"""The documentation's settings. `make docs` builds it, with warnings as errors."""

import shutil
from pathlib import Path

from captum_pcim import __version__

DOCS = Path(__file__).parent

# Notebooks live beside their scripts in tutorials/; Sphinx reads below docs/ only.
shutil.copytree(
    DOCS.parent / "tutorials",
    DOCS / "tutorials",
    ignore=shutil.ignore_patterns("*.py", ".*"),
    dirs_exist_ok=True,
)

project = "captum_pcim"
release = version = __version__
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build", "**/.ipynb_checkpoints"]
html_theme = "furo"
html_title = f"captum_pcim {release}"

myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # committed executed; the test suite runs them

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_format = "short"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
