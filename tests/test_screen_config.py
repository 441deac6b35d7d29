"""What a screen's configuration accepts, and what it says of what it does not."""

import dataclasses
import sys

import pytest
from screen_plates import config, tables, write_toml

from captum_pcim.screen import ConfigError, ScreenConfig
from captum_pcim.screen import config as screen_config


def test_toml_paths_are_relative_to_the_file(tmp_path):
    path = tmp_path / "screen.toml"
    path.write_text(
        "images = {path = 'in', stains = ['DNA']}\n"
        "model = {factory = 'm:f'}\n"
        "output = {path = 'out'}\n"
    )
    found = ScreenConfig.from_toml(path)
    assert found.images.path == str(tmp_path / "in")
    assert found.output.path == str(tmp_path / "out")
    assert found.model.path == ""


def test_toml_and_dictionary_give_the_same_configuration(tmp_path):
    toml = write_toml(tmp_path, windows={"fixed": {"DNA": [0.0, 9.0], "ER": [1.0, 2.0]}})
    assert ScreenConfig.from_toml(toml) == config(
        tmp_path, windows={"fixed": {"DNA": [0.0, 9.0], "ER": [1.0, 2.0]}}
    )


@pytest.mark.parametrize(
    ("table", "entry", "value", "said"),
    [
        ("images", "sources", "folder", "images.sources"),
        ("images", "source", "dropbox", "images.source"),
        ("images", "stains", [], "images.stains"),
        ("images", "stains", ["DNA", "DNA"], "images.stains"),
        ("images", "channels", ["1"], "images.channels"),
        ("windows", "percentiles", [50, 10], "windows.percentiles"),
        ("windows", "fixed", {"DNA": [5, 1]}, "windows.fixed.DNA"),
        ("windows", "fixed", {"Mito": [0, 1]}, "windows.fixed"),
        ("windows", "fixed", {"DNA": [0, 1]}, "'ER'"),
        ("model", "target", -2, "model.target"),
        ("model", "score", "odds", "model.score"),
        ("windows", "fixed", {"DNA": ["a", "b"], "ER": [0, 1]}, "windows.fixed.DNA"),
        ("windows", "fixed", {"DNA": [0, float("inf")], "ER": [0, 1]}, "windows.fixed.DNA"),
        ("windows", "percentiles", ["1", "99"], "windows.percentiles"),
        ("model", "classes", [1, 2], "model.classes"),
        ("images", "path", "", "images.path"),
        ("output", "path", "", "output.path"),
        ("output", "colours", "rgb", "output.colours"),  # of the test's two stains
        ("run", "workers", -1, "run.workers"),
        ("run", "engine", "ray", "run.workers"),  # the test's workers are 0: this very process
        ("run", "workers", "two", "run.workers"),
        ("run", "engine", "dask", "run.engine"),
        ("output", "table", "xlsx", "output.table"),
        ("controls", "reference", "median", "controls.reference"),
        ("attribution", "isolation", "cells", "attribution.isolation"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path, table, entry, value, said):
    with pytest.raises(ConfigError) as error:
        config(tmp_path, **{table: {entry: value}})
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("table", "entry", "value", "said"),
    [
        ("run", "workers", "two", "run.workers: Input should be a valid integer, got 'two'"),
        ("run", "workers", -1, "run.workers: expected at least 0, got -1"),
        ("run", "workers", True, "run.workers: Input should be a valid integer, got True"),
        ("run", "engine", "dask", "run.engine: Input should be 'local' or 'ray', got 'dask'"),
        ("run", "cores", 2, "run.cores: expected one of ['batch_size', 'device', 'engine', "
         "'threads', 'workers'], got 'cores'"),
        ("windows", "fixed", {"DNA": ["a", 1]}, "windows.fixed.DNA.0: Input should be a valid "
         "number, got 'a'"),
    ],
)  # fmt: skip
def test_an_error_tells_the_entry_what_was_expected_and_what_came(
    tmp_path, table, entry, value, said
):
    with pytest.raises(ConfigError) as error:
        config(tmp_path, **{table: {entry: value}})
    assert str(error.value) == said


def test_all_wrong_entries_are_told_at_once(tmp_path):
    with pytest.raises(ConfigError) as error:
        config(tmp_path, run={"workers": "two"}, output={"table": "xlsx"}, screens={})
    lines = str(error.value).splitlines()
    assert {line.partition(":")[0] for line in lines} == {"run.workers", "output.table", "screens"}


def test_a_table_that_is_none_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"run: .*, got 3"):
        ScreenConfig.from_dict({**tables(tmp_path), "run": 3})


def test_without_pydantic_it_is_said_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydantic", None)
    with pytest.raises(ImportError, match=r"needs pydantic: pip install 'captum-pcim\[screen\]'"):
        config(tmp_path)


@pytest.mark.parametrize(
    "name", ["Attribution", "Controls", "Images", "Model", "Output", "Run", "Windows"]
)
def test_settings_are_found_under_their_first_names(name):
    with pytest.warns(DeprecationWarning, match=f"{name} is now called"):
        settings = getattr(screen_config, name)
    assert settings.__name__ == f"{name.removesuffix('s')}Settings"


@pytest.mark.parametrize("table", ["images", "model", "output"])
def test_a_missing_table_is_named(tmp_path, table):
    found = tables(tmp_path)
    del found[table]
    with pytest.raises(ConfigError, match=table):
        ScreenConfig.from_dict(found)


def test_a_missing_entry_is_named(tmp_path):
    with pytest.raises(ConfigError, match="stains"):
        ScreenConfig.from_dict({**tables(tmp_path), "images": {"path": "x"}})


def test_broken_toml_names_the_file(tmp_path):
    path = tmp_path / "screen.toml"
    path.write_text("[images\n")
    with pytest.raises(ConfigError, match=r"screen\.toml"):
        ScreenConfig.from_toml(path)


def test_where_and_how_the_work_is_done_leaves_the_digest_alone(tmp_path):
    one = config(tmp_path)
    other = dataclasses.replace(
        config(tmp_path / "elsewhere", run={"workers": 4, "batch_size": 7, "engine": "ray"}),
    )
    assert one.digest() == other.digest()


@pytest.mark.parametrize(
    ("table", "entry", "value"),
    [
        ("images", "channels", ["2", "1"]),
        ("attribution", "n_steps", 4),
        ("attribution", "seed", 1),
        ("attribution", "isolation", "per_stain"),
        ("windows", "percentiles", [1, 99]),
        ("controls", "wells", ["A01"]),
        ("model", "target", 1),
        ("model", "score", "probabilities"),
        ("output", "maps", True),
    ],
)
def test_what_changes_a_result_changes_the_digest(tmp_path, table, entry, value):
    assert config(tmp_path).digest() != config(tmp_path, **{table: {entry: value}}).digest()
