"""What importing the package brings along: itself, and what Captum imports anyway."""

import functools
import subprocess
import sys

PACKAGE = "captum_pcim"


@functools.cache
def _loaded(imports):
    """Return the names of all modules that a fresh interpreter has after the imports."""
    code = f"{imports}; import sys; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return frozenset(run.stdout.split())


def _brought_along(imports, beyond):
    """Return the modules beyond others that are neither the package's own nor Python's."""
    new = _loaded(imports) - _loaded(beyond)
    at_home = {PACKAGE, *sys.stdlib_module_names}
    return {name for name in new if name.partition(".")[0] not in at_home}


def test_the_package_imports_no_module_that_captum_does_not():
    # Not even another part of torch or Captum: this is what keeps the import as fast as Captum's.
    assert _brought_along(f"import {PACKAGE}", beyond="import captum.attr") == set()


def test_no_part_imports_a_package_that_need_not_be_installed():
    parts = "cli", "compare", "data", "metrics", "screen", "visualize"
    needed = "import captum.attr, captum.metrics, matplotlib.figure, numpy, PIL.Image"
    ours = _brought_along(f"import {', '.join(f'{PACKAGE}.{part}' for part in parts)}", needed)
    # Compiled modules of torch and NumPy register helpers of Cython's under names of their own.
    new = {name.partition(".")[0] for name in ours if "cython" not in name}
    assert new <= {name.partition(".")[0] for name in _loaded(needed)}


def test_the_check_would_see_an_optional_package():
    assert "PIL.Image" in _brought_along("import PIL.Image, xml.etree", beyond="import sys")
    assert "xml.etree" not in _brought_along("import PIL.Image, xml.etree", beyond="import sys")
