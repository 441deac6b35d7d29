"""Networks and intensities as docs/hci.md writes them, line by line."""

import argparse
from pathlib import Path

import pytest
from screen_plates import config, rows
from test_classes import compare, explain

from captum_pcim.cli.intensities import Intensities
from captum_pcim.cli.options import INTENSITIES, add_options
from captum_pcim.screen import run_screen

tomllib = pytest.importorskip("tomllib")  # of Python 3.11
TEXT = (Path(__file__).parent.parent / "docs" / "hci.md").read_text(encoding="utf-8")
NETWORKS = {
    "logits, a class each": ["Linear"],
    "probabilities, a class each": ["Probabilities"],
    "one logit, (N, 1) or (N,)": ["OneLogit", "Flat"],
    "one probability, (N, 1) or (N,)": ["OneProbability"],
    "a logit for each label": ["Labels"],
    "a probability for each label": ["LabelProbabilities"],
    "a quantity": ["OneLogit", "Flat"],
}


def documented(name):
    """The rows of a table: what it is, its lines, its options, and what is said of it."""
    table = TEXT.partition(f"<!-- begin {name} -->")[2].partition(f"<!-- end {name} -->")[0]
    for row in table.strip().splitlines()[2:]:
        what, lines, options, told = (cell.strip() for cell in row.strip("| ").split(" | "))
        entries = "\n".join(line.strip("` ") for line in lines.split("<br>"))
        yield what, tomllib.loads(entries), options.strip("`").split(), told


def networks():
    return [
        (network, *rest) for what, *rest in documented("networks") for network in NETWORKS[what]
    ]


@pytest.mark.parametrize(("network", "model", "options", "told"), networks())
def test_a_documented_network_has_its_columns_in_every_command(
    small_screen, network, model, options, told
):
    assert run_screen(config(small_screen, network, model={"classes": [], **model})).failures == {}
    name = f"screen_networks:{network}"
    for found in (
        rows(small_screen),
        explain(small_screen, name, *options),
        compare(small_screen, name, *options, "--methods", "PCIM"),
    ):
        columns = [c for c in found[0] if c.startswith(("Probability_", "Score_"))]
        assert ", ".join(f"`{column}`" for column in columns) == told
        assert all(float(row[column]) is not None for row in found for column in columns)
    classes, named = model["classes"], model.get("target")
    if named is not None:
        expected = named if isinstance(named, str) else classes[named]
        assert {row["Class"] for row in rows(small_screen)} == {expected}


@pytest.mark.parametrize(("what", "lines", "options", "told"), documented("intensities"))
def test_documented_intensities_are_the_same_in_a_screen_and_in_the_commands(
    screen, monkeypatch, what, lines, options, told
):
    monkeypatch.chdir(screen)
    (screen / "windows.csv").write_text("Stain,Low,High\nDNA,1,2\nER,1,3\n")
    wells = ["A01"] if lines.get("over") == "controls" else []
    settings = config(screen, windows=lines, controls={"wells": wells}).windows
    parser = argparse.ArgumentParser()
    add_options(parser, "--stains", *INTENSITIES)
    command = Intensities.of(parser.parse_args(options))
    assert command.told() == settings.told(["DNA", "ER"])
    assert command.measured == settings.measured(["DNA", "ER"])
    kept = [not window.clip for window in settings.templates(["DNA", "ER"])]
    assert all(kept) if told == "kept" else True
    assert not any(kept) if told == "clipped" else True
