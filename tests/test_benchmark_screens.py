"""What the screen benchmarks measure with."""

import subprocess
import sys

from benchmarks.screens.process_times import ProcessTimes

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
