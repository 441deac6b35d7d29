"""What importing the package brings along: itself, and what Captum imports anyway."""

import pkgutil
import subprocess
import sys

import captum_pcim

PACKAGE = "captum_pcim"


def _loaded(*steps):
    """Return the names of all modules that a fresh interpreter has after each of some imports."""
    code = "; ".join(f"{imports}; print(*sys.modules)" for imports in ("import sys", *steps))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [frozenset(line.split()) for line in run.stdout.splitlines()[1:]]


def _foreign(modules):
    """Return those modules that are neither the package's own nor Python's."""
    at_home = {PACKAGE, *sys.stdlib_module_names}
    return {name for name in modules if name.partition(".")[0] not in at_home}


def test_the_package_imports_no_module_that_captum_does_not():
    # Not even another part of torch or Captum: this is what keeps the import as fast as Captum's.
    captums, ours = _loaded("import captum.attr", f"import {PACKAGE}")
    assert _foreign(ours - captums) == set()


def test_no_module_imports_a_package_that_need_not_be_installed():
    modules = [module.name for module in pkgutil.walk_packages(captum_pcim.__path__, f"{PACKAGE}.")]
    assert len(modules) > 150
    needed, ours = _loaded(
        "import captum.attr, captum.metrics, matplotlib.figure, numpy, PIL.Image",
        f"import {', '.join(modules)}",
    )
    # Compiled modules of torch and NumPy register helpers of Cython's under names of their own.
    new = {name.partition(".")[0] for name in _foreign(ours - needed) if "cython" not in name}
    assert new <= {name.partition(".")[0] for name in needed}


def test_the_check_would_see_an_optional_package():
    nothing, modules = _loaded("import sys", "import PIL.Image, xml.etree")
    assert "PIL.Image" in _foreign(modules - nothing)
    assert "xml.etree" in modules and "xml.etree" not in _foreign(modules - nothing)
