"""A Ray cluster of several nodes, of which one is lost in the middle of a run."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from screen_plates import config, environment, finished, no_litter, write_plate

from captum_pcim.screen import run_screen

N_IMAGES = 24
HEALTH = {"health_check_period_ms": 1000, "health_check_timeout_ms": 5000}  # or it takes a minute


@pytest.fixture
def cluster(ray, tmp_path):
    """A head, where no work is done, and two nodes that count 3 CPUs each."""
    os.environ["DEADLY_FLAG"] = flag = str(tmp_path / "flag")
    cluster = pytest.importorskip("ray.cluster_utils").Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False, "_system_config": HEALTH},
    )
    for _ in range(2):
        cluster.add_node(num_cpus=3)
    variables = {"PYTHONPATH": environment()["PYTHONPATH"], "DEADLY_FLAG": flag}
    ray.init(
        cluster.address, log_to_driver=False, logging_level="error",
        runtime_env={"env_vars": variables},
    )  # fmt: skip
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def _nodes_of_actors():
    """Return where a network was loaded, one node after the other."""
    return Path(os.environ["DEADLY_FLAG"] + ".nodes").read_text().split()


def _lose_a_node(cluster, folder):
    """Kill a node that has an actor as soon as some images are done; return which are."""
    while len(finished(folder)) < N_IMAGES // 6:
        time.sleep(0.05)
    with_actor = _nodes_of_actors()[0]
    (lost,) = (node for node in cluster.worker_nodes if node.node_id == with_actor)
    cluster.remove_node(lost, allow_graceful=False)
    return finished(folder)


def test_a_lost_node_loses_no_image_and_none_is_done_twice(cluster, screen):
    write_plate(screen / "images", [f"{row}0{column}" for row in "ABC" for column in (1, 2, 3, 4)])
    run = {"engine": "ray", "workers": 2, "batch_size": 2}
    settings = config(screen, "Located", run=run, attribution={"n_steps": 20})
    with ThreadPoolExecutor(1) as aside:
        loss = aside.submit(_lose_a_node, cluster, screen)
        summary = run_screen(settings)
        at_the_loss = loss.result()
    assert 0 < len(at_the_loss) < N_IMAGES
    lost, _, *after = _nodes_of_actors()
    assert after and lost not in after
    assert (summary.computed, summary.failures) == (N_IMAGES, {})
    assert len(finished(screen)) == N_IMAGES
    assert at_the_loss.items() <= finished(screen).items()
    assert no_litter(screen)
