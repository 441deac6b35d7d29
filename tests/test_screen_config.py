"""What a screen's configuration accepts, and what it says of what it does not."""

import dataclasses
import inspect
import sys

import pytest
import torch
from screen_plates import config, tables, write_plate, write_toml

from captum_pcim import (
    PCIM,
    Area,
    Background,
    Constant,
    ForwardOnly,
    Preservation,
    Removal,
    Smoothing,
)
from captum_pcim.screen import ConfigError, ScreenConfig
from captum_pcim.screen import config as screen_config
from captum_pcim.screen.identity import make_plan
from captum_pcim.screen.sources import find_fields, survey_screen


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


def test_home_and_environment_variables_in_paths_are_filled_in(tmp_path, monkeypatch):
    monkeypatch.setenv("SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    images, output = {"path": "~/plates"}, {"path": "$SCRATCH/results"}
    found = config(tmp_path, images=images, output=output)
    assert found.images.path == str(tmp_path / "home" / "plates")
    assert found.output.path == str(tmp_path / "scratch" / "results")


@pytest.mark.parametrize("entry", ["images.path", "output.path", "model.path", "windows.table"])
def test_a_path_that_is_elsewhere_is_refused_before_a_folder_is_made_of_it(tmp_path, entry):
    table, _, name = entry.partition(".")
    with pytest.raises(ConfigError, match=f"{entry}: expected a path on this machine.*'s3://b/a'"):
        config(tmp_path, **{table: {name: "s3://b/a"}})


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
        ("windows", "percentiles", [0.01, 0.99], "windows.percentiles"),
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
        ("attribution", "n_steps", 1, "attribution.n_steps"),
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


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8"])
def test_line_ends_and_byte_order_marks_of_windows_are_read(tmp_path, encoding):
    path = write_toml(tmp_path)
    expected = ScreenConfig.from_toml(path)
    path.write_text(path.read_text().replace("\n", "\r\n"), encoding=encoding, newline="")
    assert ScreenConfig.from_toml(path) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'pattern = "\\w\\d"', r"line 1.*in single quotes a backslash is itself"),
        (b'path = "C:\\data"', r"line 1.*in single quotes a backslash is itself"),
        ("# ä".encode("latin-1"), "save it as UTF-8"),
    ],
)
def test_broken_toml_says_what_to_do(tmp_path, text, said):
    (tmp_path / "screen.toml").write_bytes(text)
    with pytest.raises(ConfigError, match=said):
        ScreenConfig.from_toml(tmp_path / "screen.toml")


def test_results_never_go_among_the_images_themselves(tmp_path):
    with pytest.raises(ConfigError, match=r"output\.path: expected another folder than images"):
        config(tmp_path, output={"path": str(tmp_path / "images" / "")})


def test_a_control_that_is_no_well_is_named(tmp_path):
    write_plate(tmp_path / "images", wells=("A01",), sites=1)
    with pytest.raises(ConfigError, match=r"controls\.wells: expected a well .*'foo'"):
        survey_screen(config(tmp_path, controls={"wells": ["A1", "foo"]}))


def test_a_table_of_windows_that_is_not_there_is_named(tmp_path):
    write_plate(tmp_path / "images", wells=("A01",), sites=1)
    found = config(tmp_path, windows={"table": str(tmp_path / "absent.csv")})
    with pytest.raises(ConfigError, match=r"windows\.table: .*absent\.csv"):
        make_plan(found, find_fields(found.images), (0, 1))


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
        ("windows", "scale", "raw"),
        ("attribution", "smoothing", 1.5),
        ("attribution", "references", ["Blur"]),
    ],
)
def test_what_changes_a_map_changes_the_digest(tmp_path, table, entry, value):
    assert config(tmp_path).digest() != config(tmp_path, **{table: {entry: value}}).digest()


@pytest.mark.parametrize(
    "changes",
    [
        {"images": {"objects": "Nuclei"}},
        {"images": {"stains": ["one", "two"], "channels": ["DNA", "ER"]}},
        {"output": {"previews": False}},
        {"output": {"maps": True}},
        {"output": {"table": "parquet"}},
        {"model": {"classes": ["control", "hit"]}},
        {"model": {"classes": ["control", "hit"], "target": "predicted"}},
        {"controls": {"fields": 3}},
        {"windows": {"fields": 3}},
    ],
)
def test_what_changes_no_map_leaves_the_digest_alone(tmp_path, changes):
    assert config(tmp_path).digest() == config(tmp_path, **changes).digest()


def test_a_target_by_name_is_the_target_by_number(tmp_path):
    named = config(tmp_path, model={"classes": ["a", "b"], "target": "b"})
    assert named.digest() == config(tmp_path, model={"target": 1}).digest()


@pytest.mark.parametrize(
    ("table", "entry", "value", "said"),
    [
        ("model", "target", "hits", "model.target: expected a class's number from 0 to 1 or one of "
         "['left', 'right', 'predicted'], got 'hits'"),
        ("model", "target", 5, "model.target: expected a class's number from 0 to 1 or one of "
         "['left', 'right', 'predicted'], got 5"),
        ("model", "target", "2", "model.target: expected a class's number from 0 to 1 or one of "
         "['left', 'right', 'predicted'], got '2'"),
        ("attribution", "contrast", [4], "attribution.contrast: expected a number below 2, as the "
         "classes are ['left', 'right'], got 4"),
        ("model", "classes", ["a", "a"], "model.classes: expected no name twice, got ['a', 'a']"),
        ("windows", "scale", "table", "windows.table: expected a file, got ''"),
        ("windows", "over", "controls", "windows.over: expected scale = 'percentiles' or 'zscore', "
         "got 'type'"),
        ("model", "classes", ["a", ""], "model.classes: expected no empty name, got ['a', '']"),
        ("images", "objects", "Image", "images.objects: expected a name, not 'Image', got 'Image'"),
        ("output", "maps", "zarr", "output.maps: Input should be a valid boolean or 'tiff' or "
         "'ome_zarr', got 'zarr'"),
        ("model", "target", 1.5, "model.target: Input should be a valid integer or a valid string, "
         "got 1.5"),
        ("attribution", "smoothing", "x", "attribution.smoothing: Input should be a valid number "
         "or an object, got 'x'"),
        ("attribution", "smoothing", -1, "attribution.smoothing: sigma: expected "
         "pixels >= 0 or None, got -1.0, got {'sigma': -1.0}"),
        ("attribution", "objective", ["Area", {"name": "Area", "begin": 2}],
         "attribution.objective.Area: expected some of ['end', 'start'], got 'begin'"),
        ("attribution", "objective", [{"name": "Area", "start": "2"}],
         "attribution.objective.Area: start: Input should be a valid number, got '2'"),
        ("attribution", "n_forwards", 30, "attribution.n_forwards: expected gradients = "
         "'forward_only', got 'auto'"),
    ],
)  # fmt: skip
def test_a_wrong_option_is_told_with_what_was_expected(tmp_path, table, entry, value, said):
    with pytest.raises(ConfigError) as error:
        config(tmp_path, **{table: {entry: value}})
    assert str(error.value) == said


def test_a_reference_that_there_is_not_is_told_with_those_there_are(tmp_path):
    with pytest.raises(ConfigError, match=r"attribution.references: expected names among .*'Blur'"):
        config(tmp_path, attribution={"references": ["Bluer"]})


def test_the_options_of_attribution_are_those_of_pcim(tmp_path):
    attribution = config(
        tmp_path,
        attribution={
            "smoothing": {"sigma": 1.5, "spacing": 0.5},
            "objective": ["Preservation", "Removal", {"name": "Area", "start": 2, "end": 20}],
            "references": ["Background", {"name": "Constant", "value": [0.1, 0.2]}],
            "gradients": "forward_only",
            "n_forwards": 300,
            "perturbations_per_eval": 16,
            "autocast": "bfloat16",
            "learning_rate": 0.25,
        },
    ).attribution
    options = attribution.options()
    assert options["smoothing"] == Smoothing(1.5, 0.5)
    assert options["objective"] == (Preservation(), Removal(), Area(2, 20))
    assert options["references"] == (Background(), Constant([0.1, 0.2]))
    assert options["gradients"] == ForwardOnly(300)
    assert options["autocast_dtype"] == torch.bfloat16
    assert attribution.arguments()["perturbations_per_eval"] == 16
    assert attribution.arguments()["learning_rate"] == 0.25


def test_every_option_of_pcim_can_be_set(tmp_path):
    attribution = config(tmp_path).attribution
    expected = set(inspect.signature(PCIM.__init__).parameters) - {"self", "forward_func", "score"}
    assert set(attribution.options()) == expected
