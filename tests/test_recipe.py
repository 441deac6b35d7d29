"""The recipe for conda, as the program that builds from it reads it: `nox --session recipe`."""

from pathlib import Path

import pytest

rattler_build = pytest.importorskip("rattler_build", reason="not here: nox --session recipe")

RECIPE = Path(__file__).parents[1] / "recipe" / "recipe.yaml"
MINIMUM = {"python_min": ["3.10"]}  # conda-forge's own is given to a recipe so


@pytest.fixture(scope="module")
def rendered():
    recipe = rattler_build.Stage0Recipe.from_file(RECIPE)
    (variant,) = recipe.render(rattler_build.VariantConfig(MINIMUM))
    return variant.recipe.to_dict()


def test_one_package_serves_every_python_from_the_lowest_one_on(rendered):
    assert rendered["build"]["noarch"] == "python"
    assert "python 3.10.*" in rendered["requirements"]["host"]
    assert "python >=3.10" in rendered["requirements"]["run"]


def test_the_package_is_tried_on_the_lowest_python(rendered):
    imported, started = rendered["tests"]
    assert imported["python"]["python_version"] == "3.10.*"
    assert started["script"] == "captum-pcim --version"


def test_the_license_lies_where_the_recipe_says(rendered):
    source = (RECIPE.parent / rendered["source"][0]["path"]).resolve()
    (license_file,) = rendered["about"]["license_file"]
    assert (source / license_file).is_file()


@pytest.mark.parametrize("section", ["requirements:", "noarch:", "imports:", "license_file:"])
def test_a_misspelt_section_would_be_refused(section):
    text = RECIPE.read_text(encoding="utf-8")
    assert text.count(section) == 1
    with pytest.raises(rattler_build.RattlerBuildError, match=r"unknown|expected|invalid"):
        rattler_build.Stage0Recipe.from_yaml(text.replace(section, f"x{section}"))
