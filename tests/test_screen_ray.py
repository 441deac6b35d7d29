"""The Ray engine: the same results as the local one, whatever befalls its actors."""

import os
import subprocess

import pytest
from screen_plates import (
    command,
    command_line,
    config,
    contents,
    environment,
    failures,
    finished,
    no_litter,
    white_corner,
    write_toml,
)

from captum_pcim.classifiers.files import ModelError
from captum_pcim.screen import ConfigError, StoreError, WorkerError, run_screen
from captum_pcim.screen.attempts import ATTEMPTS

os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "300")  # for a very busy machine
os.environ.setdefault("RAY_worker_register_timeout_seconds", "300")
ray = pytest.importorskip("ray", minversion="2.55")
pytest.importorskip("ray.data")

ENGINE = {"engine": "ray", "workers": 2, "batch_size": 2}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """One Ray instance for all tests; it counts 4 CPUs, whatever the machine has."""
    flag = tmp_path_factory.mktemp("flags") / "kill"
    os.environ["DEADLY_FLAG"] = str(flag)
    _start({"PYTHONPATH": environment()["PYTHONPATH"], "DEADLY_FLAG": str(flag)})
    yield flag
    ray.shutdown()


def _start(variables, attempts=5):
    """Ray gives its own processes 30 seconds to start, too little on a very busy machine."""
    try:
        ray.init(
            num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="error",
            runtime_env={"env_vars": variables},
        )  # fmt: skip
    except Exception:
        ray.shutdown()
        if attempts == 1:
            raise
        _start(variables, attempts - 1)


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


def test_a_killed_actor_is_replaced_and_every_image_done_once(cluster, screen):
    run_screen(config(screen, "DeadlyOnce"), shard=(0, 3))
    before = finished(screen)
    cluster.touch()
    summary = run_screen(config(screen, "DeadlyOnce", run=ENGINE))
    assert not cluster.exists()  # an actor found it and killed itself
    assert (summary.computed, summary.failures) == (4, {})
    assert len(finished(screen)) == 6
    assert before.items() <= finished(screen).items()


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


def test_a_screen_begun_by_one_engine_is_ended_by_the_other(cluster, screen):
    run_screen(config(screen), shard=(1, 2))
    assert run_screen(config(screen, run=ENGINE)).computed == 3
    assert run_screen(config(screen)).computed == 0


def test_a_results_folder_that_breaks_stops_the_run_with_its_own_error(cluster, screen):
    settings = config(screen, "Breaking", run={**ENGINE, "workers": 1, "batch_size": 8})
    cluster.write_text(settings.output.path)
    with pytest.raises(StoreError, match="cannot write to the results folder"):
        run_screen(settings)


def test_a_network_that_cannot_be_loaded_stops_the_run_with_its_own_error(cluster, screen):
    with pytest.raises(ModelError, match="Nobody"):
        run_screen(config(screen, "Nobody", run={**ENGINE, "workers": 1}))


def test_actors_of_a_ray_of_this_machine_have_the_priority_of_who_started_them(screen, tmp_path):
    toml = write_toml(screen, "Polite", run=ENGINE)
    flag = tmp_path / "priority"
    variables = {**environment(), "DEADLY_FLAG": str(flag)}
    subprocess.run(command(toml), env=variables, check=True, capture_output=True)
    assert int(flag.read_text()) == os.nice(0)


def test_more_actors_than_the_cluster_has_room_for_are_refused(cluster, screen):
    with pytest.raises(ConfigError, match="3 Ray actors need 5 CPUs, the cluster has 4"):
        run_screen(config(screen, run={**ENGINE, "workers": 3}))
