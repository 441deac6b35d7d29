"""The Ray engine: the same results as the local one, whatever befalls its actors."""

import os
from pathlib import Path
from typing import NamedTuple

import pytest
from screen_plates import (
    command_line,
    config,
    contents,
    environment,
    failures,
    finished,
    no_litter,
    rows,
    white_corner,
    write_plate,
    write_toml,
)

from captum_pcim.classifiers.files import ModelError
from captum_pcim.screen import ConfigError, StoreError, WorkerError, run_screen
from captum_pcim.screen.attempts import ATTEMPTS

ENGINE = {"engine": "ray", "workers": 2, "batch_size": 2}


class FirstRun(NamedTuple):
    """A screen of cells, whose run started Ray: its folder and what its actors wrote down."""

    folder: Path
    flag: Path
    priority: int


@pytest.fixture(scope="module")
def first_run(ray, tmp_path_factory):
    """The run that starts the Ray of this machine, which all others then find running."""
    folder, flag = tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("flags") / "kill"
    write_plate(folder / "images")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEADLY_FLAG", str(flag))
        patch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
        _run_and_start(ray, config(folder, "Polite", cells={"size": 12}, run=ENGINE))
        yield FirstRun(folder, flag, int(flag.read_text()))
        ray.shutdown()


def _run_and_start(ray, settings, attempts=5):
    """Ray gives its own processes 30 seconds to start, too little on a very busy machine."""
    try:
        run_screen(settings)
    except Exception:
        ray.shutdown()
        if attempts == 1:
            raise
        _run_and_start(ray, settings, attempts - 1)


@pytest.fixture
def cluster(first_run):
    """The file DEADLY_FLAG of the actors, which is not there yet."""
    first_run.flag.unlink(missing_ok=True)
    return first_run.flag


def test_actors_share_the_cells_of_a_screen(first_run):
    assert failures(first_run.folder) == {}
    assert len(rows(first_run.folder, "cells")) == 12


def test_actors_of_a_ray_of_this_machine_have_the_priority_of_who_started_them(first_run):
    assert first_run.priority == os.nice(0)


def test_ray_and_local_results_are_the_same_bytes(cluster, screen, tmp_path_factory):
    (screen / "images" / "P1" / "B01_f2_ER.png").unlink()
    changes = {
        "controls": {"wells": ["A01", "A02"], "reference": "sample"},
        "windows": {"percentiles": [1, 99]},
    }
    there = tmp_path_factory.mktemp("local")
    (there / "images").symlink_to(screen / "images")
    local = run_screen(config(there, **changes))
    distributed = run_screen(config(screen, **changes, run=ENGINE))
    assert (local.computed, distributed.computed) == (5, 5)
    assert [*local.failures.values()] == [*distributed.failures.values()]
    assert contents(screen) == contents(there)


def test_a_killed_actor_is_replaced_and_every_image_done_once_by_either_engine(cluster, screen):
    run_screen(config(screen, "DeadlyOnce"), shard=(0, 3))
    before = finished(screen)
    cluster.touch()
    summary = run_screen(config(screen, "DeadlyOnce", run=ENGINE))
    assert not cluster.exists()  # an actor found it and killed itself
    assert (summary.computed, summary.failures) == (4, {})
    assert len(finished(screen)) == 6
    assert before.items() <= finished(screen).items()
    assert run_screen(config(screen, "DeadlyOnce")).computed == 0


def test_an_image_that_kills_its_actor_is_given_up_and_the_others_are_done(cluster, screen):
    white_corner(screen)
    run = {**ENGINE, "workers": 1, "batch_size": 3}
    assert command_line(write_toml(screen, "Deadly", run=run)) == 1
    assert failures(screen) == {"A02 1": f"its process died, {ATTEMPTS} times"}
    assert len(finished(screen)) == 5
    assert cluster.with_name("kill.deaths").stat().st_size == ATTEMPTS
    assert no_litter(screen)


def test_an_actor_that_dies_before_it_begins_stops_the_run(cluster, screen):
    with pytest.raises(WorkerError, match=f"died {ATTEMPTS} times while they loaded the network"):
        run_screen(config(screen, "Stillborn", run={**ENGINE, "workers": 1}))


def test_a_results_folder_that_breaks_stops_the_run_with_its_own_error(cluster, screen):
    settings = config(screen, "Breaking", run={**ENGINE, "workers": 1, "batch_size": 8})
    cluster.write_text(settings.output.path)
    with pytest.raises(StoreError, match="cannot write to the results folder"):
        run_screen(settings)


def test_a_network_that_cannot_be_loaded_stops_the_run_with_its_own_error(cluster, screen):
    with pytest.raises(ModelError, match="Nobody"):
        run_screen(config(screen, "Nobody", run={**ENGINE, "workers": 1}))


def test_more_actors_than_the_cluster_has_room_for_are_refused(ray, cluster, screen):
    room = int(ray.cluster_resources()["CPU"])
    said = f"{room - 1} Ray actors need {room + 1} CPUs, the cluster has {room}"
    with pytest.raises(ConfigError, match=said):
        run_screen(config(screen, run={**ENGINE, "workers": room - 1}))
