"""Several processes for one run: who they are, how they are started, what they tell each other.

The process that was typed never becomes a rank. It holds the run's folder and starts every rank on it (worker.py), so no rank reads a
command line, and a sweep's job can have ranks of its own (docs/processes.md). Under torchrun or Slurm the ranks are there already;
then the first one composes and tells the others.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml2020.core.errors import TypedError, UserError
from ml2020.core.forks import Fork
from ml2020.core.signals import heeded

_PATIENCE = 10  # seconds that ranks get to stop by themselves before they are killed


@dataclass(frozen=True)
class Place:
    """Which rank of how many this process is."""

    rank: int = 0
    world: int = 1
    local: int = 0
    node: int = 0


def place(env: Mapping[str, str] = os.environ) -> Place:
    """Where this process stands, by the variables that our workers, torchrun or Slurm's srun set; alone without them."""
    if "RANK" in env and "WORLD_SIZE" in env:
        return Place(*(_number(env, name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "GROUP_RANK")))
    if "SLURM_STEP_ID" in env and "SLURM_PROCID" in env and _number(env, "SLURM_NTASKS", 1) > 1:  # a step of srun, not the batch script
        return Place(*(_number(env, f"SLURM_{name}") for name in ("PROCID", "NTASKS", "LOCALID", "NODEID")))
    return Place()


def _number(env: Mapping[str, str], name: str, default: int = 0) -> int:
    try:
        return int(env.get(name, default))
    except ValueError:
        raise UserError(f"the environment says {name}={env[name]}, which is no number; type: unset {name}") from None


def check_world(trainer: Mapping[str, Any]) -> None:
    """Refuse a number of started processes that is not the number asked for. Raises TypedError."""
    per_node = trainer["gpus"] if trainer["gpus"] is not None else trainer["devices"]
    wanted, there = max(1, per_node) * trainer["num_nodes"], place().world
    if there == 1 and trainer["num_nodes"] > 1:
        raise TypedError(f"trainer.num_nodes={trainer['num_nodes']} needs torchrun or srun to start the processes")
    if there not in (1, wanted) and per_node != -1:
        raise TypedError(
            f"{there} processes were started, but the trainer is set to {wanted}; type trainer.devices={there} "
            f"(or trainer.gpus={there}), or start {wanted}"
        )


def join() -> None:
    """Meet the other ranks. Lightning finds the group and uses it."""
    import torch
    import torch.distributed as dist

    here = place()
    if here.world == 1 or dist.is_initialized():
        return
    os.environ.setdefault("MASTER_ADDR", _first_host(os.environ.get("SLURM_STEP_NODELIST", "127.0.0.1")))
    os.environ.setdefault("MASTER_PORT", str(20_000 + int(os.environ.get("SLURM_JOB_ID", 0)) % 10_000))
    os.environ |= {"LOCAL_RANK": str(here.local), "NODE_RANK": str(here.node)}  # for Lightning
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", rank=here.rank, world_size=here.world)


def _first_host(nodes: str) -> str:
    """The first of Slurm's list of nodes: node[03-07,9] gives node03."""
    found = re.match(r"([^,\[]+)(?:\[([^\],-]+))?", nodes)
    return found[1] + (found[2] or "")


def together() -> bool:
    """Whether this process has met others."""
    import torch.distributed as dist

    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def told(content: Any) -> Any:
    """What rank 0 says, in every rank: plain Python data."""
    if not together():
        return content
    import torch.distributed as dist

    box = [content]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def gathered(content: Any) -> list[Any]:
    """What every rank says, in the order of the ranks."""
    if not together():
        return [content]
    import torch.distributed as dist

    everyone: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(everyone, content)
    return everyone


def highest(number: int) -> int:
    """The largest of the ranks' numbers."""
    if not together():
        return number
    import torch
    import torch.distributed as dist

    box = torch.tensor([number])
    dist.all_reduce(box, op=dist.ReduceOp.MAX)
    return int(box)


def total(tensor: Any) -> Any:
    """The sum of a tensor over the ranks, in every rank; the same bits in each."""
    if together():
        import torch.distributed as dist

        dist.all_reduce(tensor)
    return tensor


def same_weights(module: Any) -> None:
    """Give every rank the tensors of rank 0 (batch norm's statistics are each rank's own during a fit)."""
    if not together():
        return
    import torch.distributed as dist

    for tensor in module.state_dict().values():
        here = tensor.detach().cpu()
        dist.broadcast(here, src=0)
        tensor.copy_(here)


# Starting ranks on a run's folder.


def launch(folder: Path, world: int, output: Path | None = None, keep: tuple[int, ...] = (), forked: bool = False) -> None:
    """Train the run in `folder` with `world` new processes, and wait for them; a signal to this process stops them.

    `output` is a file for what they print (None: rank 0 prints here). `keep` are file descriptors, such as the folder's lock, that live
    on in the ranks. `forked` takes them from a server with everything imported (forks.py); it needs an `output`. Raises UserError with
    the sentence of the rank that failed, SystemExit(128 + n) after signal n.
    """
    port = _free_port()
    with tempfile.TemporaryDirectory() as said:
        ranks = [_start(folder, rank, world, port, Path(said), output, keep, forked) for rank in range(world)]
        with _signals_to(ranks[0]) as caught:
            all_failed = _wait(ranks, caught)
        words = [(Path(said) / str(rank)).read_text().strip().splitlines() for rank in range(world)]
    failed = _told_by(all_failed, words)
    last = [lines.pop() if rank in all_failed and lines else "" for rank, lines in enumerate(words)]
    if words[0]:  # warnings of rank 0, which prints for all
        print(*words[0], sep="\n", file=sys.stderr)
    if caught:
        raise SystemExit(128 + caught[0])
    if failed is not None:
        _raise(failed, ranks[failed].returncode, world, last[failed])


def _start(
    folder: Path, rank: int, world: int, port: int, said: Path, output: Path | None, keep: tuple[int, ...], forked: bool
) -> subprocess.Popen | Fork:
    env = dict(os.environ)
    if world > 1:
        env |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world), "NODE_RANK": "0"}
        env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        if sys.platform == "linux":
            env.setdefault("GLOO_SOCKET_IFNAME", "lo")  # the machine's own name cannot be resolved everywhere
    if forked:
        (said / str(rank)).touch()
        return Fork(folder, env, output if rank == 0 else Path(os.devnull), said / str(rank), keep)
    with output.open("a") if output else nullcontext() as stream, (said / str(rank)).open("w") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "ml2020.core.worker", str(folder)],
            env=env,
            stdin=subprocess.PIPE,  # closed when this process dies, however it dies: the ranks then end too
            stdout=stream if rank == 0 else subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,  # a terminal's Ctrl-C comes here alone, and is handed on to rank 0
            pass_fds=keep,
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def _signals_to(rank: subprocess.Popen | Fork) -> Iterator[list[int]]:
    """Hand SIGINT and SIGTERM on to rank 0, which stops all at one step; gives the list of what was caught."""
    caught: list[int] = []

    def heed(number: int, frame: Any) -> None:
        caught.append(number)
        if rank.poll() is None:
            rank.send_signal(number if len(caught) < 2 else signal.SIGKILL)

    with heeded(heed):
        yield caught


def _wait(ranks: list[subprocess.Popen | Fork], caught: list[int]) -> list[int]:
    """Until all have ended, or one has failed: then the others get a moment, and are killed. Gives those that failed by themselves."""
    while any(rank.poll() is None for rank in ranks) and not any(rank.poll() for rank in ranks):
        time.sleep(0.05)
    until = time.monotonic() + (_PATIENCE if caught else 2)
    while any(rank.poll() is None for rank in ranks) and time.monotonic() < until:
        time.sleep(0.05)
    failed = [number for number, rank in enumerate(ranks) if rank.poll()]
    for rank in ranks:
        if rank.poll() is None:
            rank.kill()
        rank.wait()
        if isinstance(rank, subprocess.Popen):
            rank.stdin.close()
    return failed


def _told_by(failed: list[int], words: list[list[str]]) -> int | None:
    """The rank whose end was not the end of another: one that lost its peers has only that to say."""
    lost = ("Connection closed by peer", "Connection reset by peer", "connection closed", "NCCL", "Broken pipe")
    first = [number for number in failed if not (words[number] and any(sign in words[number][-1] for sign in lost))]
    return next(iter(first or failed), None)


def _raise(number: int, code: int, world: int, sentence: str) -> None:
    """Word the end of a rank: its own sentence, or what the system did to it."""
    who = "the training process" if world == 1 else f"process {number + 1} of {world}"
    if code < 0:
        name = signal.Signals(-code).name
        raise UserError(f"{who} was ended by {name}" + (" (out of memory, perhaps)" if name == "SIGKILL" else ""))
    if code > 128:
        raise SystemExit(code)
    if code == 2:
        raise TypedError(sentence)
    raise UserError(sentence if sentence and code == 1 else f"{who} ended with status {code}" + (f": {sentence}" if sentence else ""))
