"""Results appear whole or not at all."""

import json
import multiprocessing
import os

import fresh
import pytest

from captum_pcim.screen.store import Store, StoreError

KEY = "ab" + "0" * 62


def publish(store, text, key=KEY):
    with store.publish(key, {"text": text}) as folder:
        (folder / "content.txt").write_text(text)


def litter(store):
    return list((store.path / "tmp").iterdir())


def test_a_published_result_is_whole(tmp_path):
    store = Store(tmp_path)
    assert not store.done(KEY)
    publish(store, "one")
    assert store.done(KEY)
    assert store.manifest(KEY) == {"text": "one"}
    assert (store.folder(KEY) / "content.txt").read_text() == "one"
    assert not litter(store)


def test_a_result_that_breaks_midway_leaves_nothing(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(RuntimeError), store.publish(KEY, {}) as folder:
        (folder / "content.txt").write_text("half")
        raise RuntimeError
    assert not store.done(KEY)
    assert not store.folder(KEY).exists()
    assert not litter(store)


def test_of_two_writers_the_first_stays(tmp_path):
    store = Store(tmp_path)
    with store.publish(KEY, {"text": "late"}):
        publish(Store(tmp_path), "early")
    assert store.manifest(KEY) == {"text": "early"}
    assert not litter(store)


def test_of_two_runs_that_remove_a_table_the_second_finds_it_gone(tmp_path):
    store = Store(tmp_path)
    (tmp_path / "cells.csv").touch()
    for run in (store, Store(tmp_path)):
        run.remove(tmp_path / "cells.csv")
        assert not (tmp_path / "cells.csv").exists() and not litter(store)


def _race(path, number, barrier):
    store = Store(path)
    barrier.wait()
    for i in range(50):
        publish(store, str(number), f"{i:064d}")


def test_writers_in_a_race_mix_nothing(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(4)
    writers = [context.Process(target=_race, args=(tmp_path, n, barrier)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 4
    store = Store(tmp_path)
    for i in range(50):
        folder = store.folder(f"{i:064d}")
        assert json.loads((folder / "manifest.json").read_text()) == {
            "text": (folder / "content.txt").read_text()
        }
    assert not litter(store)


def test_a_failure_is_remembered_until_the_key_is_done(tmp_path):
    store = Store(tmp_path)
    assert store.failure(KEY) is None
    store.fail(KEY, {"reason": "damaged"})
    assert store.failure(KEY) == {"reason": "damaged"}
    publish(store, "one")
    assert store.failure(KEY) is None


def test_sweep_removes_what_the_dead_left_and_nothing_else(tmp_path):
    script = (
        "import os; from captum_pcim.screen.store import Store\n"
        "with Store('.').publish('ab', {}): os._exit(9)"
    )
    assert fresh.run(script, tmp_path).status == 9
    store = Store(tmp_path)
    (left,) = litter(store)
    with store.publish(KEY, {}):
        store.sweep()
        assert len(litter(store)) == 1
    assert not left.exists()
    assert store.done(KEY)


def test_a_folder_that_cannot_be_made_is_refused_at_once(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot write to the results folder"):
        Store(tmp_path / "file" / "results")


def test_replacing_a_file_keeps_the_old_one_when_writing_breaks(tmp_path):
    store = Store(tmp_path)
    with store.replacing("table.csv") as path:
        path.write_text("old")
    with pytest.raises(RuntimeError), store.replacing("table.csv") as path:
        path.write_text("new, half")
        raise RuntimeError
    assert (tmp_path / "table.csv").read_text() == "old"
    assert os.listdir(tmp_path / "tmp") == []
