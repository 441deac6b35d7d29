"""What PCIM needs of Captum, by name: a failure here says what a new Captum has changed."""

import ast
import configparser
import sys
from pathlib import Path
from types import SimpleNamespace

import captum
import numpy as np
import pytest
import torch
from packaging.requirements import Requirement
from packaging.version import Version

import captum_pcim
from captum_pcim import _compat

PACKAGE = Path(captum_pcim.__file__).parent
ROOT = PACKAGE.parent


def _imported_modules(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_captums_private_names_are_used_in_one_module_only():
    users = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for name in _imported_modules(path)
        if name.startswith("captum.") and any(part.startswith("_") for part in name.split("."))
    }
    assert users == {"_compat.py"}


def test_run_forward_hands_on_additional_arguments_and_returns_all_scores():
    output = torch.rand(2, 3)
    assert _compat.run_forward(lambda x, scale: x * scale, (output,), (2,)).equal(2 * output)


def test_run_forward_passes_several_inputs_and_a_function_without_any():
    a, b = torch.rand(2, 3), torch.rand(2, 3)
    assert _compat.run_forward(lambda x, y: x + y, (a, b)).equal(a + b)
    assert _compat.run_forward(lambda: a, (b,)).equal(a)


def test_progress_is_a_context_with_total_description_update_and_switch(capsys):
    with _compat.progress(total=2, desc="pixels", disable=False) as bar:
        bar.update()
        bar.update()
    assert "pixels" in capsys.readouterr().err
    with _compat.progress(total=2, desc="pixels", disable=True) as bar:
        bar.update()
    assert capsys.readouterr().err == ""


def test_log_usage_keeps_the_function_within_reach():
    def attribute():
        """Text."""

    wrapped = _compat.log_usage()(attribute)
    assert wrapped.__wrapped__ is attribute and wrapped.__doc__ == "Text."


def test_perturbation_attribution_keeps_the_forward_function():
    assert _compat.PerturbationAttribution(len).forward_func is len


@pytest.mark.parametrize("name", ["BaselineType", "TargetType"])
def test_types_of_arguments_are_there(name):
    assert hasattr(_compat, name)


def _requirements():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = config["options"]["install_requires"].split()
    return {Requirement(line).name: Requirement(line) for line in lines}, config["options"]


@pytest.mark.parametrize(("name", "module"), [("captum", captum), ("torch", torch)])
def test_the_installed_release_is_in_the_declared_range(name, module):
    requirements, _ = _requirements()
    assert Version(module.__version__) in requirements[name].specifier


def test_the_declared_captum_range_starts_where_its_testing_helpers_do():
    requirements, _ = _requirements()
    assert "0.9.0" in requirements["captum"].specifier
    assert "0.8.0" not in requirements["captum"].specifier


def test_this_python_is_in_the_declared_range():
    _, options = _requirements()
    assert options["python_requires"] == ">=3.10" and sys.version_info >= (3, 10)


@pytest.mark.parametrize(
    "wrap",
    [lambda x: x, lambda x: x.numpy(), lambda x: SimpleNamespace(logits=x, loss=None)],
    ids=["tensor", "array", "logits"],
)
def test_scores_are_taken_out_of_what_a_network_returns(wrap):
    scores = torch.rand(2, 3)
    assert torch.equal(_compat.scores_of(wrap(scores)), scores)
    assert torch.equal(_compat.run_forward(lambda x: wrap(x), scores), scores)


@pytest.mark.parametrize("dtype", [">f4", "<f8", ">i2", np.longdouble, "?"])
def test_arrays_of_any_numbers_become_tensors(dtype):
    array = np.array([[1, 0, 1]] * 2).astype(dtype)
    array.flags.writeable = False
    assert _compat.scores_of(array[:, ::-1]).tolist() == [[1, 0, 1]] * 2
    assert _compat.scores_of(np.broadcast_to(array[:1], (4, 3))).shape == (4, 3)


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([{"scores": 1}]), np.array([None])])
def test_arrays_of_anything_else_are_refused(array):
    with pytest.raises(
        TypeError, match="forward_func: expected numbers as scores, got an array of"
    ):
        _compat.scores_of(array)


def test_what_holds_no_scores_is_left_for_the_error_that_names_it():
    output = {"out": torch.rand(2, 3)}
    assert _compat.scores_of(output) is output
