"""What is built is complete: the wheel, made from the source archive, works where nothing else is.

Nothing is downloaded: tools and dependencies are those that are installed.
"""

import configparser
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")
pytest.importorskip("build")
pytest.importorskip("twine")

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "captum_pcim"
SHIPPED = ("*.py", "py.typed", "synthetic/weights/*.pt", "screen/pages/*.*")


def _run(*command, **options):
    run = subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """The source archive and the wheel that is built from it."""
    checkout = tmp_path_factory.mktemp("checkout")  # building leaves files behind
    for name in ("captum_pcim", "tests", "benchmarks", "docs", "tutorials"):
        unwanted = shutil.ignore_patterns("__pycache__", "out", "_build", "jupyter_execute")
        shutil.copytree(ROOT / name, checkout / name, ignore=unwanted)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, checkout)
    _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", checkout / "dist", checkout)
    (archive,) = (checkout / "dist").glob("*.tar.gz")
    (wheel,) = (checkout / "dist").glob("*.whl")
    return archive, wheel


@pytest.fixture(scope="module")
def installed(distributions, tmp_path_factory):
    """The interpreter of an environment that holds the wheel, and sees what it depends on."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    install = ("install", "--quiet", "--no-deps", "--no-index", distributions[1])
    _run(sys.executable, "-m", "pip", "--python", python, *install)
    (own,) = (folder / "lib").glob("*/site-packages")
    # Searched after the environment's own, and without the editable install that may be there.
    others = [path for path in sys.path if path.endswith("site-packages")]
    (own / "dependencies.pth").write_text("\n".join(others))
    return python


def _in_environment(python, code):
    environment = {name: os.environ[name] for name in os.environ if name != "PYTHONPATH"}
    return _run(python, "-c", code, cwd=python.parents[1], env=environment)


def test_the_index_would_take_both_and_show_their_description(distributions):
    said = _run(sys.executable, "-m", "twine", "check", "--strict", *distributions)
    assert said.count("PASSED") == 2


def test_the_wheel_holds_the_package_and_nothing_else(distributions):
    with zipfile.ZipFile(distributions[1]) as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    expected = {path for pattern in SHIPPED for path in PACKAGE.rglob(pattern)}
    assert held == {path.relative_to(ROOT).as_posix() for path in expected}


def test_the_wheel_is_below_500_kilobytes_and_holds_no_tests(distributions):
    """78 kB of it are the shipped networks."""
    with zipfile.ZipFile(distributions[1]) as wheel:
        parts = {part for name in wheel.namelist() for part in Path(name).parts}
    assert not [part for part in parts if part.startswith(("test", "conftest"))]
    assert distributions[1].stat().st_size < 500_000


def test_the_source_archive_holds_tests_and_license(distributions):
    with tarfile.open(distributions[0]) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {f"tests/{path.name}" for path in (ROOT / "tests").glob("*.py")}
    assert wanted | {"Makefile", "constraints.txt", "LICENSE", "README.md"} <= held


def test_the_tests_of_the_source_archive_find_all_they_need_in_it(distributions, tmp_path):
    with tarfile.open(distributions[0]) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    collect = (sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider")
    said = _run(*collect, "--assert=plain", cwd=unpacked, env=environment)  # none will be made
    modules = {path.name for path in (ROOT / "tests").glob("test_*.py")}
    found = {line.partition("::")[0].removeprefix("tests/") for line in said.splitlines()}
    assert modules - found <= {"test_metrics_quantus.py", "test_recipe.py"}  # optional packages


def test_who_made_what_is_told_with_the_paper_as_the_work_to_cite():
    told = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    paper = told["preferred-citation"]
    names = [author["family-names"] for author in paper["authors"]]
    assert names == ["Siegismund", "Wieser", "Heyse", "Steigele"]
    assert paper["title"] in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_installed_wheel_finds_its_weights_and_its_types(installed):
    code = (
        "import captum_pcim; from importlib import resources; from captum_pcim import synthetic;"
        "synthetic.load_cnn('fluorescence'); synthetic.load_cnn('brightfield');"
        "print((resources.files('captum_pcim') / 'py.typed').is_file(), captum_pcim.__file__)"
    )
    typed, place = _in_environment(installed, code).split()
    assert typed == "True"
    assert Path(place).is_relative_to(installed.parents[1])


def test_the_installed_command_runs(installed):
    from captum_pcim import __version__

    assert _run(installed.with_name("captum-pcim"), "--version").strip() == __version__


def test_the_recipe_for_conda_needs_what_the_wheel_needs():
    recipe = yaml.safe_load((ROOT / "recipe" / "recipe.yaml").read_text(encoding="utf-8"))
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    renamed = {"torch": "pytorch", "matplotlib": "matplotlib-base"}
    wanted = set()
    for line in setup["options"]["install_requires"].split():
        name, versions = re.fullmatch(r"([a-z]+)(.*)", line).groups()
        wanted.add(f"{renamed.get(name, name)} {versions}".strip())
    assert set(recipe["requirements"]["run"]) == wanted | {"python >=${{ python_min }}"}
    version = (PACKAGE / "_version.py").read_text(encoding="utf-8")
    assert f'"{recipe["context"]["version"]}"' in version
