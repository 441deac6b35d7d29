"""What the screen benchmarks measure with."""

import subprocess
import sys

import numpy as np
import pytest

from benchmarks.screens.process_times import ProcessTimes
from captum_pcim.profiles.positions import positions

pandas = pytest.importorskip("pandas")
pytest.importorskip("scipy")

from benchmarks.screens import phenotypes  # noqa: E402

BUSY = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\n"


def test_the_cpu_time_of_children_counts_also_after_they_have_ended():
    with ProcessTimes() as cpu:
        before = cpu.total()
        command = [sys.executable, "-c", BUSY + "input()"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            child.stdout.readline()  # it has been busy for as long as it was to be
            alive = cpu.total() - before
            child.communicate(b"\n")
        assert cpu.total() - before >= alive >= 0.25


def test_the_cpu_time_of_children_of_children_counts():
    inner = f"subprocess.Popen([sys.executable, '-c', {BUSY!r}], stdout=subprocess.PIPE)"
    outer = f"import subprocess, sys\nc = {inner}\nc.stdout.readline()\nprint(flush=True)\ninput()"
    with ProcessTimes() as cpu:
        before = cpu.total()
        command = [sys.executable, "-c", outer]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            child.stdout.readline()
            assert cpu.total() - before >= 0.25
            child.communicate(b"\n")


def test_the_confounded_phenotype_is_planted_at_the_edge_alone(tmp_path):
    truth = phenotypes.write_plates(tmp_path, n_wells=24, seed=0)
    treatments = truth.plate_map.set_index(["plate", "well"])["treatment"]
    wells = truth.plate_map["well"]
    distance = dict(zip(wells, positions(wells)[:, 2], strict=True))
    for key, shown in truth.shows.items():
        treatment = treatments[key]
        hidden = treatment == phenotypes.CONFOUNDED and distance[key[1]] > 0
        assert shown == ("control" if hidden else phenotypes.TREATMENTS[treatment])
        assert truth.changed[key].any() == (shown != "control")
    assert len(truth.shows) == 48


def test_what_is_changed_is_read_off_the_images():
    told = {name: phenotypes.planted_change(name, ring=5) for name in phenotypes.CLASSES[1:]}
    assert told["translocation"] == ("reporter", "Nuclei")
    assert told["granules"][0] == "reporter" and told["granules"][1] != "Nuclei"
    assert told["micronuclei"] == ("nucleus", "Ring")


def test_fields_that_are_dealt_anew_stay_with_their_phenotype():
    n_wells = 24
    places = [("P1", f"A{i + 1:02d}") for i in range(n_wells)]
    shown = [phenotypes.CLASSES[i % 2] for i in range(n_wells)]
    truth = phenotypes.Truth(pandas.DataFrame(), dict(zip(places, shown, strict=True)))
    wells = pandas.DataFrame(places, columns=phenotypes.PLACE)
    wells["Image_Score_a"] = np.arange(n_wells)
    wells["Image_Score_b"] = -np.arange(n_wells)
    dealt = phenotypes.dealt_anew(wells, truth, np.random.default_rng(0))
    assert sorted(dealt["Image_Score_a"]) == wells["Image_Score_a"].tolist()
    assert dealt["Image_Score_a"].tolist() != wells["Image_Score_a"].tolist()
    assert (dealt["Image_Score_a"] % 2 == wells["Image_Score_a"] % 2).all()
    assert (dealt["Image_Score_b"] == -dealt["Image_Score_a"]).all()
    assert wells["Image_Score_a"].tolist() == list(range(n_wells))


def test_cells_are_told_apart_by_their_attribution_where_the_phenotype_was_called():
    images = pandas.DataFrame({"ImageNumber": [1, 2], "Class": ["granules", "control"]})
    objects = pandas.DataFrame({
        "Metadata_Plate": "P1", "Metadata_Well": ["A01"] * 3 + ["A02"], "ImageNumber": [1, 1, 1, 2],
        "ObjectNumber": [1, 2, 3, 1], "Cells_Attribution_Mean_a": [0.1, 0.5, 0.2, 9.0],
    })  # fmt: skip
    changed = {("P1", "A01"): np.array([False, False, True, True])}
    truth = phenotypes.Truth(pandas.DataFrame(), {("P1", "A01"): "granules"}, changed)
    assert phenotypes.separation(objects, images, truth, "B") == 1.0
