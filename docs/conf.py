"""The documentation's settings. `make docs` builds it, with warnings as errors."""

import re
import shutil
import sys
from pathlib import Path

from docutils.nodes import SkipNode
from latex2mathml.converter import convert

from captum_pcim import __version__

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent))

from benchmarks.page import appendix  # noqa: E402

(DOCS / "all_results.md").write_text(appendix(), encoding="utf-8")

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
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build", "jupyter_execute", "**/.ipynb_checkpoints"]
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_copyright = False
html_title = f"captum_pcim {release}"
html_math_renderer = "mathml"

myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # committed executed; the test suite runs them

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_format = "short"
napoleon_google_docstring = True
napoleon_numpy_docstring = False

default_role = "code"  # `single backticks` are code, as in Markdown

_STAR = re.compile(r"(?<![*\w`\\])\*+(?=[a-z])")  # of (N, C, *spatial) and **kwargs
_BAR = re.compile(r"(?<!\|)\|(?!\|)")  # of |r|


def escape_marks(app, what, name, obj, options, lines):
    """Keep reStructuredText from reading shapes and magnitudes as markup."""
    for i, line in enumerate(lines):
        line = _STAR.sub(lambda stars: stars[0].replace("*", r"\*"), line)
        lines[i] = _BAR.sub(r"\\|", line) if "metrics" in name else line


def formula(translator, node):
    """A formula as MathML: browsers draw it without a script from elsewhere."""
    translator.body.append(convert(node.astext()))
    raise SkipNode


def display_formula(translator, node):
    """The same on a line of its own."""
    translator.body.append(f'<div class="math">{convert(node.astext(), display="block")}</div>')
    raise SkipNode


def setup(app):
    """Run after napoleon, which turns sections into fields."""
    app.connect("autodoc-process-docstring", escape_marks, priority=900)
    app.add_html_math_renderer("mathml", (formula, None), (display_formula, None))
