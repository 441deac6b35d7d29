"""Kernels of notebooks that have loaded the large libraries already, as code of :mod:`fresh` has.

They are kernels like others, but forked: without this each takes seconds to import torch.
"""

import os
import runpy
import signal
import sys
import time
from pathlib import Path

import fresh


class ForkedKernel:
    """A process that is used as those of :mod:`subprocess` are, in a session of its own.

    Args:
        command: The kernel's: Python, "-m", module, arguments.
        cwd: The folder that it runs in.
        env: The variables that it sees.
    """

    stdin = stdout = stderr = None

    def __init__(self, command, cwd, env, **_):
        self.process = fresh.processes.Process(target=_run, args=(command[2:], cwd, env))
        self.process.start()
        self.pid = self.process.pid
        while self.poll() is None and os.getpgid(self.pid) != self.pid:
            time.sleep(0.01)  # until then a signal to its group would reach others

    def poll(self):
        return self.process.exitcode

    def wait(self):
        self.process.join()
        return self.process.exitcode

    def send_signal(self, number):
        os.kill(self.pid, number)

    def terminate(self):
        self.send_signal(signal.SIGTERM)

    def kill(self):
        self.send_signal(signal.SIGKILL)


def _run(arguments, folder, variables):
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    sys.path[:] = ["", *(path for path in sys.path if Path(path) != Path(__file__).parent)]
    sys.argv = arguments
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
