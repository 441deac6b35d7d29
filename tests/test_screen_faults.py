"""What goes wrong, with real processes: every good image is done once, every bad one is listed."""

import io
import os
import pickle
import random
import shutil
import signal
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fresh
import numpy as np
import pytest
from PIL import Image
from screen_plates import (
    TESTS,
    command,
    command_line,
    config,
    environment,
    failures,
    finished,
    no_litter,
    white_corner,
    write_plate,
    write_toml,
)

from captum_pcim.classifiers.files import ModelError
from captum_pcim.cli.main import main
from captum_pcim.screen import StoreError, WorkerError, run_screen
from captum_pcim.screen.attempts import sendable
from captum_pcim.screen.tables import read_rows

RESUME = "captum-pcim screen: stopped; what is done is kept. Run the same command again to resume."


def wait_for(folder, count, process):
    """Waits until so many results are there, or the process has ended."""
    while len(finished(folder)) < count and process.poll() is None:
        time.sleep(0.02)


def start(toml, *arguments):
    return subprocess.Popen(
        command(toml, *arguments), cwd=TESTS, env=environment(), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
        # What a shell starts in the background ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def test_a_truncated_image_is_listed_and_the_others_are_done(screen):
    path = screen / "images" / "P1" / "A02_f1_ER.png"
    path.write_bytes(path.read_bytes()[:200])
    assert run_screen(config(screen)).computed == 5
    assert list(failures(screen)) == ["A02 1"]
    assert "cannot be read" in failures(screen)["A02 1"]


@pytest.mark.parametrize("table", ["csv", "parquet"])
def test_a_plate_whose_name_is_not_utf_8_is_done_and_its_name_is_written_escaped(
    screen, table, monkeypatch
):
    pytest.importorskip("pyarrow")
    plate = screen / "images" / os.fsdecode(b"P\xff")
    (screen / "images" / "P1").rename(plate)
    (plate / "A02_f1_ER.png").unlink()
    labels = r"(?P<well>\w\d\d)_f(?P<field>\d+)_labels\.png"
    changes = {"images": {"labels": labels}, "output": {"table": table}}
    run_screen(config(screen, **changes, windows={"scale": "percentiles"}))
    results = screen / "results"
    for name in ("images", "objects"):
        read = list(read_rows(results / f"{name}.{table}"))
        assert read and {row["Metadata_Plate"] for row in read} == {"P\\udcff"}
    page = next((results / "plates").glob("*.html")).read_text(encoding="utf-8")
    assert "<title>Plate P\\udcff" in page and '"objects":' in page.replace(" ", "")
    (results / "windows.csv").rename(screen / "windows.csv")
    given = config(screen, **changes, windows={"table": str(screen / "windows.csv")})
    assert run_screen(given).computed == 5

    strict = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr("sys.stdout", strict)
    main(["screen", "--config", str(write_toml(screen, **changes)), "--list"])
    strict.flush()
    assert b"plate P\\udcff: wells 3" in strict.buffer.getvalue()


def test_a_repaired_image_is_all_that_the_next_run_does(screen):
    path = screen / "images" / "P1" / "A02_f1_ER.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:200])
    run_screen(config(screen))
    before = finished(screen)
    path.write_bytes(whole)
    assert run_screen(config(screen)).computed == 1
    assert failures(screen) == {}
    assert before.items() < finished(screen).items()


def test_a_missing_channel_is_listed(screen):
    (screen / "images" / "P1" / "B01_f2_ER.png").unlink()
    assert run_screen(config(screen)).computed == 5
    assert failures(screen) == {"B01 2": "ImageError: no file for stain ER"}


def test_an_image_that_makes_the_network_return_nan_is_listed(screen):
    white_corner(screen)
    assert run_screen(config(screen, "NotANumber", run={"batch_size": 6})).computed == 5
    assert list(failures(screen)) == ["A02 1"]
    assert "NaN" in failures(screen)["A02 1"]


def test_a_batch_too_large_for_memory_is_done_in_smaller_ones(screen):
    assert run_screen(config(screen, "Greedy", run={"batch_size": 6})).failures == {}
    assert len(finished(screen)) == 6


def test_one_image_too_large_for_memory_is_listed(screen):
    assert run_screen(config(screen, "Gluttonous")).computed == 0
    assert all("memory" in reason for reason in failures(screen).values())
    assert len(failures(screen)) == 6


def test_a_class_that_the_network_lacks_fails_every_image_with_the_reason(screen):
    assert run_screen(config(screen, model={"target": 7, "classes": []})).computed == 0
    assert all(
        "target" in reason or "out of bounds" in reason for reason in failures(screen).values()
    )


def test_the_exit_status_and_the_error_output_tell_of_a_failure(screen, capsys):
    (screen / "images" / "P1" / "B01_f2_ER.png").unlink()
    assert command_line(write_toml(screen)) == 1
    said = capsys.readouterr()
    assert "P1 B01 field 2: ImageError: no file for stain ER" in said.err
    assert "5 of 6 images done, 5 in this run, 1 failed" in said.out


def test_an_image_that_kills_its_process_is_given_up_and_the_others_are_done(screen, monkeypatch):
    white_corner(screen)
    monkeypatch.setenv("DEADLY_FLAG", str(screen / "flag"))
    monkeypatch.setattr("captum_pcim.screen.local.ATTEMPTS", 2)  # a process each
    assert command_line(write_toml(screen, "Deadly", run={"batch_size": 3, "workers": 1})) == 1
    assert failures(screen) == {"A02 1": "its process ended with exit code -9, 2 times"}
    assert len(finished(screen)) == 5
    assert (screen / "flag.deaths").stat().st_size == 2
    assert no_litter(screen)


def test_processes_that_die_before_they_begin_stop_the_run(screen, monkeypatch):
    monkeypatch.setattr("captum_pcim.screen.local.ATTEMPTS", 1)
    with pytest.raises(WorkerError, match="exit code 7 before they had loaded the network"):
        run_screen(config(screen, "Stillborn", run={"workers": 1}))


class OddError(Exception):
    """An error that pickle can send and not receive."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def test_an_error_of_a_worker_reaches_the_parent_whatever_it_is():
    for error in (StoreError(28, "No space left", "results"), ModelError("no model")):
        found = pickle.loads(pickle.dumps(sendable(error)))
        assert (type(found), str(found)) == (type(error), str(error))
    found = pickle.loads(pickle.dumps(sendable(OddError(1, 2))))
    assert (type(found), str(found)) == (WorkerError, "a worker broke: OddError: 1 and 2")


def test_the_processes_of_a_killed_run_end_with_it(screen):
    write_plate(screen / "images", sites=16)
    process = start(write_toml(screen, "Slow"), "--workers", "1")
    wait_for(screen, 2, process)
    process.kill()
    process.communicate(timeout=300)  # returns when the last process that holds the pipes is gone
    assert 2 <= len(finished(screen)) < 48


def test_a_run_that_is_killed_is_resumed_where_it_was(screen):
    write_plate(screen / "images", wells=("A01", "A02", "B01", "B02", "C01"), sites=4)
    toml = write_toml(screen, "Slow", run={"batch_size": 2})
    chance = random.Random(0)
    survivors = {}
    for count, workers in ((2, "0"), (8, "1")):
        process = start(toml, "--workers", workers)
        wait_for(screen, count, process)
        time.sleep(chance.random() / 4)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        now = finished(screen)
        assert survivors.items() <= now.items()
        survivors = now
    assert 8 <= len(survivors) < 20
    summary = run_screen(config(screen, "Slow", run={"batch_size": 2}))
    assert summary.failures == {}
    assert len(finished(screen)) == 20
    assert summary.computed == 20 - len(survivors)
    assert survivors.items() <= finished(screen).items()
    assert no_litter(screen)


def but_progress(said):
    return [line for line in said.splitlines() if " images (" not in line]


def test_ctrl_c_stops_cleanly_and_says_how_to_resume_and_nothing_else(screen):
    write_plate(screen / "images", sites=8)
    process = start(write_toml(screen, "Slow", run={"batch_size": 2, "workers": 2}))
    wait_for(screen, 2, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process
    _, said = process.communicate(timeout=300)
    assert process.returncode == 130
    assert but_progress(said) == [RESUME]
    assert no_litter(screen)
    assert 2 <= len(finished(screen)) < 24


def test_a_run_leaves_no_message_of_the_processes_it_ended(screen):
    process = start(write_toml(screen, "Slow", run={"batch_size": 2, "workers": 1}))
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0
    assert but_progress(said) == []


def test_two_runs_on_one_store_do_every_image_once(screen):
    write_plate(screen / "images", sites=4)
    toml = write_toml(screen, "Slow", run={"batch_size": 1})
    code = f"import sys, screen_plates; sys.exit(screen_plates.command_line({str(toml)!r}))"
    seen = {}
    with ThreadPoolExecutor() as pool:
        both = [pool.submit(fresh.run, code, TESTS) for _ in range(2)]
        while not all(run.done() for run in both):
            now = finished(screen)
            assert seen.items() <= now.items()  # a finished result is never written again
            seen = now
            time.sleep(0.05)
    assert [run.result().status for run in both] == [0, 0]
    assert len(finished(screen)) == 12
    assert failures(screen) == {}
    assert no_litter(screen)


@pytest.fixture
def small_disk():
    """A folder on a disk of 500 kB."""
    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", "size=500k", "tmpfs", folder]
        if subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("mounting is not permitted")
        yield Path(folder)
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk_stops_the_run_and_room_resumes_it(screen, small_disk):
    filler = small_disk / "filler"
    filler.write_bytes(bytes(440_000))
    settings = config(screen, output={"path": str(small_disk / "results")})
    with pytest.raises(StoreError, match="No space left"):
        run_screen(settings)
    done = list((small_disk / "results" / "done").glob("*/*/manifest.json"))
    assert 0 < len(done) < 6
    assert all(path.stat().st_size for path in done)
    assert os.listdir(small_disk / "results" / "tmp") == []
    filler.unlink()
    assert run_screen(settings).computed == 6 - len(done)


def test_a_full_disk_ends_the_command_with_a_sentence(screen, small_disk, capsys):
    (small_disk / "filler").write_bytes(bytes(440_000))
    toml = write_toml(screen, output={"path": str(small_disk / "results")})
    assert command_line(toml, "--workers", "1") == 2
    said = capsys.readouterr().err
    assert "No space left on device" in said and "again to resume" in said


def test_a_results_folder_that_breaks_midway_stops_the_run(screen, tmp_path_factory, monkeypatch):
    note = tmp_path_factory.mktemp("note") / "folder"
    note.write_text(str(screen / "results"))
    monkeypatch.setenv("DEADLY_FLAG", str(note))
    with pytest.raises(StoreError, match="cannot write to the results folder"):
        run_screen(config(screen, "Breaking"))


def test_an_unwritable_folder_is_refused_before_anything_is_computed(screen, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StoreError, match="cannot write to the results folder: Read-only"):
        run_screen(config(screen, output={"path": str(small_disk / "results")}))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(screen):
    (screen / "results").mkdir(mode=0o500)
    with pytest.raises(StoreError, match="Permission denied"):
        run_screen(config(screen))


def test_a_stain_of_another_size_is_listed(screen):
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(screen / "images" / "P1" / "A01_f2_ER.png")
    assert run_screen(config(screen)).computed == 5
    assert list(failures(screen)) == ["A01 2"]


@pytest.mark.parametrize("name", ["manifest.json", "objects.npy"])
def test_a_damaged_result_says_what_to_remove_and_is_then_made_anew(screen, capsys, name):
    toml = write_toml(screen)
    assert command_line(toml) == 0
    damaged = sorted((screen / "results" / "done").glob(f"*/*/{name}"))[0]
    damaged.write_bytes(damaged.read_bytes()[:20])
    capsys.readouterr()
    assert command_line(toml) == 2
    assert f"remove {damaged.parent}, and it is made anew" in capsys.readouterr().err
    shutil.rmtree(damaged.parent)
    assert command_line(toml) == 0 and len(finished(screen)) == 6


def test_damaged_windows_say_what_to_remove_and_are_then_measured_anew(screen, capsys):
    toml = write_toml(screen, windows={"percentiles": [1, 99]})
    assert command_line(toml) == 0
    shutil.rmtree(screen / "results" / "done")
    (damaged,) = (screen / "results" / "shared").glob("*.npz")
    damaged.write_bytes(b"")
    assert command_line(toml) == 2
    assert f"remove {damaged}, and it is made anew" in capsys.readouterr().err
    damaged.unlink()
    assert command_line(toml) == 0
