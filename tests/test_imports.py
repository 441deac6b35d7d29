"""What importing the package brings along."""

import functools
import subprocess
import sys

import pytest

OPTIONAL = {
    *("tifffile", "imagecodecs", "zarr", "ray", "onnx", "onnxruntime", "pandas", "pyarrow"),
    *("sklearn", "scipy", "skimage", "PIL", "quantus", "napari", "IPython"),
}


@functools.cache
def _loaded(imports):
    code = f"{imports}; import sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@pytest.mark.parametrize("module", ["captum_pcim", "captum_pcim.visualize", "captum_pcim.metrics"])
def test_imports_nothing_optional_beyond_what_captum_imports(module):
    captums = _loaded("import captum.attr, captum.metrics, matplotlib.figure")
    assert not (_loaded(f"import {module}") - captums) & OPTIONAL


def test_the_check_would_see_an_optional_package():
    assert "PIL" in _loaded("import PIL.Image") & OPTIONAL
