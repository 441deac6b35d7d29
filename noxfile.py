"""The tests under every Python that the package supports, and with its oldest dependencies.

`nox` runs all of them; `nox --session tests-3.13` one; `nox --list` names them. Each session makes
an environment of its own, torch included.
"""

from pathlib import Path

import nox

GROUPS = nox.project.load_toml("pyproject.toml")
METHOD = (  # what the package is about; the rest needs newer releases of optional packages
    "adam", "bad_input", "blending", "captum_conformance", "cnn", "compat", "isolation",
    "model_untouched", "networks", "numerics", "objective", "pcim", "planted", "properties",
    "references", "scores", "smoothing", "solver", "threads",
)  # fmt: skip


@nox.session(python=["3.10", "3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """Run the whole suite with the releases of constraints.txt."""
    group = nox.project.dependency_groups(GROUPS, "test")
    session.install("-c", "constraints.txt", "-e", ".[all]", *group)
    session.run("pytest", *session.posargs)


@nox.session(python="3.10")
def minimum(session: nox.Session) -> None:
    """Run the tests of the method with the releases of constraints-minimum.txt."""
    needed = ("pytest", "hypothesis", "scipy", "scikit-learn")
    session.install("-c", "constraints-minimum.txt", "-e", ".", *needed)
    session.run("pytest", *(f"tests/test_{name}.py" for name in METHOD), *session.posargs)


@nox.session(python="3.13")
@nox.parametrize("program", ["iohub", "fractal-tasks-core", "napari-ome-zarr", "pycytominer"])
def companions(session: nox.Session, program: str) -> None:
    """Run the tests made with a program that needs an environment of its own."""
    names = {"pycytominer": ["profiles"], "napari-ome-zarr": ["maps_elsewhere", "recipes"]}
    files = [f"tests/test_{name}.py" for name in names.get(program, ["screen_zarr_libraries"])]
    needed = ("pytest", "pyyaml", program, *(["napari"] if "napari" in program else []))
    session.install("-c", "constraints.txt", "-e", ".[screen,zarr,tiff,profiles]", *needed)
    session.run("pytest", *files, *session.posargs)


@nox.session(python="3.11")
def recipe(session: nox.Session) -> None:
    """Read and render the recipe for conda as rattler-build does; nothing is built."""
    session.install("pytest", "py-rattler-build")
    session.run("pytest", "--noconftest", "tests/test_recipe.py", *session.posargs)


@nox.session(python="3.11")
@nox.parametrize("walk", ["captum_user", "biologist", "reviewer"])
def walks(session: nox.Session, walk: str) -> None:
    """Walk as a new user does: an empty environment, the wheel, and what README says."""
    root, folder = Path.cwd(), session.create_tmp()
    script, readme = root / "tests" / "walks" / f"{walk}.py", root / "README.md"
    session.install("build")
    session.run("python", "-m", "build", "--wheel", "--outdir", folder)
    (wheel,) = Path(folder).glob("*.whl")
    needed = {
        "captum_user": [str(wheel), "torchvision"],
        "biologist": [f"{wheel}[tiff]"],
        "reviewer": ["-e", ".", *nox.project.dependency_groups(GROUPS, "bench")],
    }
    session.install(*needed[walk])
    with session.chdir(folder):
        session.run("python", script, readme, env={"MPLBACKEND": "Agg"})
