"""Processes that begin with torch, Lightning and matplotlib imported, for the many short jobs of a sweep.

They are forked from a server that has imported and done nothing else (multiprocessing's forkserver), so a job that crashes takes
nothing with it, and the several seconds of imports are spent once a sweep instead of once a job. No CUDA is touched before the fork.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing import connection, forkserver, reduction
from pathlib import Path
from typing import Any

_PRELOAD = ["ml2020.core.run", "matplotlib.pyplot"]


def warm_up(modules: list[str]) -> None:
    """Start the server, if there is none; it imports while this process goes on. `modules`: what the jobs need besides the frame."""
    multiprocessing.set_forkserver_preload([*_PRELOAD, *modules])
    forkserver.ensure_running()


class Fork:
    """A forked process that trains the run of a folder; of Popen's interface what processes.py uses."""

    def __init__(self, folder: Path, env: dict[str, str], output: Path, errors: Path, keep: tuple[int, ...]) -> None:
        if multiprocessing.get_start_method() not in multiprocessing.get_all_start_methods():  # joblib's own, unknown to the server
            multiprocessing.set_start_method("forkserver", force=True)
        kept = [_Kept(fd) for fd in keep]
        context = multiprocessing.get_context("forkserver")
        self.process = context.Process(target=_begin, args=(str(folder), env, str(output), str(errors), kept))
        self.process.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, -n after signal n, None while it works."""
        return self.process.exitcode

    def poll(self) -> int | None:
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.process.pid, number)

    def kill(self) -> None:
        self.process.kill()

    def wait(self) -> int:
        self.process.join()
        return self.process.exitcode


class _Kept:
    """A file descriptor, such as a folder's lock, that lives on in the process that is started."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __getstate__(self) -> Any:
        return reduction.DupFd(self.fd)

    def __setstate__(self, state: Any) -> None:
        self.fd = state.detach()


def _begin(folder: str, env: dict[str, str], output: str, errors: str, kept: list[_Kept]) -> None:
    """In the forked process: become what `python -m ml2020.core.worker` would be."""
    os.setsid()  # a terminal's Ctrl-C goes to the process that was typed alone, which hands it on
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(env)
    for file, number in ((output, 1), (errors, 2)):
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(opened, number)
        os.close(opened)
    parent = multiprocessing.parent_process()
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    from ml2020.core.worker import carry_out_in

    status = carry_out_in(Path(folder))
    sys.stdout.flush(), sys.stderr.flush()
    os._exit(status)


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(137)
