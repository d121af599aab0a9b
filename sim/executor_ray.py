"""Workers that are actors of a Ray cluster: `pip install 'cezanne[ray]'` on every machine of it, the same version everywhere.

Two machines make a cluster:

    ray get-auth-token --generate                 # whoever reaches a cluster without a token may run anything; copy ~/.ray/auth_token
    export RAY_AUTH_MODE=token                    # on both, for Ray and for cezanne
    ray start --head --port=6379 --num-cpus=4 --disable-usage-stats
    ray start --address=HOST:6379 --num-cpus=4    # on the second

then `cezanne collect executor=ray ...` on the first; `ray stop` ends it.

What spawned processes inherit, actors are given: this source and the import path (where the machine has those folders), the working
directory, and the back end that renders here, since pictures of two back ends differ. What they print is in Ray's logs; Ray itself
tells of lost workers on stdout.
Files that are written or read by workers must be on a file system that all machines share.

An actor owns a process that does its work, since a draw that hangs in a driver can only be killed from outside, and since whoever asks Ray
why an actor died is told little.

What is unpickled here never comes from a file: it is what the driver of this run sent, over Ray's own transport, which pickles all it
carries. It travels as bytes so that an actor imports `sim` before anything of it, and gets arrays that it may write to, as a spawned
process does. Who can reach a cluster can run code on it, with or without Cezanne: hence the token.
"""

from __future__ import annotations

import itertools
import os
import signal
import socket
import sys
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from sim.errors import SceneError
from sim.executor import Done, Lost, Said, Stalled, Start, failed
from sim.executor_local import Processes
from sim.packed import Packed
from sim.watchdog import VARIABLE

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a private cluster reports to nobody
try:
    import ray  # pyright: ignore[reportMissingImports]
    from ray import cloudpickle  # pyright: ignore[reportMissingImports]
    from ray.exceptions import RayError, RayTaskError  # pyright: ignore[reportMissingImports]
except ImportError as error:
    raise SceneError("executor=ray needs Ray, which is not installed here: pip install 'cezanne[ray]'") from error

_PATIENCE = 5.0
"""How long the head of a cluster may take to answer [s]."""
HOW_TO_START = (
    "start one with `ray start --head --disable-usage-stats`, add machines with `ray start --address=HOST:6379` on each, "
    "or take address=local for a private one on this machine; where its head asks for a token, set RAY_AUTH_MODE=token everywhere"
)


@contextmanager
def open_ray(start: Start, workers: int | None, address: str) -> Iterator[Actors]:
    """Actors of one CPU each.

    Args:
        start: picklable.
        workers: how many at a time; None: as many as the cluster has CPUs. Those for which there is no room wait for some, also for
            that of a machine that joins later.
        address: `auto`: the cluster that runs here; `local`: one of our own, for as long as this lasts; `HOST:PORT` or `ray://HOST:PORT`.
            A process that is connected to Ray already stays so, whatever the address.

    Raises:
        SceneError: there is no cluster.
    """
    ours = not ray.is_initialized()
    if ours:
        _connect(address, workers)
    actors = None
    try:
        actors = Actors(start, workers or max(1, int(ray.cluster_resources().get("CPU", 1))))
        yield actors
    finally:
        if actors is not None:
            actors.close()
        if ours:
            ray.shutdown()


def _connect(address: str, workers: int | None) -> None:
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "address": address, "runtime_env": _environment()}
    if address == "local":
        settings |= {"num_cpus": workers, "include_dashboard": False}
    handler = signal.getsignal(signal.SIGTERM)
    try:
        _knock(address)
        ray.init(**settings)
    except Exception as error:  # it has many ways to say so, bare Exceptions among them
        ray.shutdown()
        where = {"auto": "runs here", "local": "starts here"}.get(address, f"can be used at {address}")
        raise SceneError(f"no Ray cluster {where} ({_line(error)}); {HOW_TO_START}") from error
    with suppress(ValueError, TypeError):  # Ray takes SIGTERM for itself; not in the main thread there is nothing to give back
        signal.signal(signal.SIGTERM, handler)


def _knock(address: str) -> None:
    """Raises OSError where nobody listens: Ray tries for minutes."""
    if address not in ("auto", "local"):
        host, _, port = address.removeprefix("ray://").rpartition(":")
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()


def _environment() -> dict[str, Any]:
    path = os.pathsep.join(filter(None, [str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH")]))
    told = {name: os.environ[name] for name in ("MUJOCO_GL", VARIABLE) if os.environ.get(name)}
    return {"env_vars": {"PYTHONPATH": path} | told}


class Actors:
    """An Executor. A worker is known by its handle."""

    def __init__(self, start: Start, size: int) -> None:
        self.size = size
        self._make = ray.remote(_Actor).options(num_cpus=1, max_restarts=0, max_task_retries=0, runtime_env=_environment())
        self._inherited = cloudpickle.dumps(start), os.getcwd(), [folder for folder in sys.path if folder]
        self._awaited: dict[Any, tuple[Any, int]] = {}  # reference to its actor and the item's index
        self._live: set[Any] = set()
        self._numbers = itertools.count()

    def launch(self, backend: str) -> Hashable:
        actor = self._make.remote(*self._inherited, backend, next(self._numbers))
        self._live.add(actor)
        self._awaited[actor.ready.remote()] = actor, -1
        return actor

    def send(self, worker: Any, index: int, item: Any) -> None:
        self._awaited[worker.work.remote(index, cloudpickle.dumps(item))] = worker, index

    def receive(self) -> list[tuple[Hashable, Said]]:
        (reference,), _ = ray.wait(list(self._awaited), num_returns=1)
        actor, index = self._awaited.pop(reference)
        try:
            said = ray.get(reference)
            if isinstance(said, Lost | Stalled):
                self._kill(actor)
            elif isinstance(said, Done) and said.value is not None:
                said = replace(said, value=cloudpickle.loads(said.value))
            return [(actor, said)]
        except RayTaskError as error:  # what came of the item cannot be pickled
            return [(actor, failed(index, error.cause if isinstance(error.cause, Exception) else error))]
        except RayError as error:
            self._kill(actor)
            return [(actor, Lost(_line(error)))]

    def stop(self, worker: Any) -> None:
        self._live.discard(worker)
        worker.__ray_terminate__.remote()

    def close(self) -> None:
        """Ends every actor, whatever it is doing."""
        for actor in list(self._live):
            self._kill(actor)
        self._awaited.clear()

    def _kill(self, actor: Any) -> None:
        self._live.discard(actor)
        with suppress(RayError):
            ray.kill(actor)


class _Actor:
    """A worker, of one process. To find this class the actor imports `sim` before anything of ours can import mujoco."""

    def __init__(self, start: bytes, directory: str, path: list[str], backend: str, number: int) -> None:
        sys.path.extend(folder for folder in path if folder not in sys.path)
        with suppress(OSError):  # another machine may not have it
            os.chdir(directory)
        self._processes = Processes(Packed(start), 1, number)
        self._process = self._processes.launch(backend)

    def ready(self) -> Said:
        return self._said()

    def work(self, index: int, item: bytes) -> Said:
        self._processes.send(self._process, index, item)
        return self._said()

    def _said(self) -> Said:
        ((_, said),) = self._processes.receive()
        return said


def _line(error: Exception) -> str:
    """Ray's messages are paragraphs; the last line says what happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
