"""A policy in a child process of its own: nothing that it does, or that happens to it, holds up or takes down the control loop."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from hardware.api import ActionChunk, Observation, RobotError
from hardware.opening import check_token, make_token
from hardware.remote import PolicyAddress, PolicyLost, RemotePolicy
from hardware.wire import Table, one_line

ROOT = Path(__file__).parents[1]
KEPT = 40
"""Last lines of the child that are kept for the error message."""
NAMED = 0.2
"""Time that a child whose connection ended has to end itself, so that the error can say how [s]."""
LAST = 1.5
"""Time that the child has to end by itself once its stdin has ended [s]."""


def serve_command(checkpoint: Path, threads: int = 1, device: str = "cpu") -> tuple[str, ...]:
    """What serves a checkpoint; reads the token from stdin, so that no list of processes shows it."""
    options = ("--token-stdin", "--threads", str(threads), "--device", device)
    return (sys.executable, "-P", "-m", "policies.serve", str(Path(checkpoint).absolute()), *options)


@dataclass(frozen=True)
class PolicyChild:
    """A policy server to be started on this machine. Constructing it does nothing."""

    command: tuple[str, ...]
    """Takes its token with `token_from_parent`, prints a line of JSON with its port, and serves: see `serve_command`."""
    start_s: float = 120.0
    """Time to load the checkpoint and print the port [s]."""
    answer_s: float = 5.0
    """Time for each answer [s]."""
    beat_s: float = 0.5
    """Pause after which a heartbeat is sent [s]."""

    def start(self) -> PolicyProcess:
        """Starts it and waits until it answers. Raises PolicyLost, PolicyRefused: what the child said last."""
        return PolicyProcess(self)


class PolicyProcess:
    """Implements `hardware.api.Policy`, and is asked without waiting, as a RemotePolicy is. Made by PolicyChild.start.

    The child ends with `close`, and with this process however that ends: it holds a pipe that closes then. It is never started again.
    """

    def __init__(self, child: PolicyChild) -> None:
        token = make_token()
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        try:
            self._process = subprocess.Popen(
                child.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": path},
                start_new_session=True,  # Ctrl-C is for the control loop, which still needs the policy or stops it in its own time
            )
        except OSError as error:
            raise PolicyLost(f"cannot start the policy's process: {error}") from None
        self._stdin, self._stdout, self._stderr = map(_pipe, (self._process.stdin, self._process.stdout, self._process.stderr))
        self._tail: deque[str] = deque(maxlen=KEPT)
        self._first: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._readers = [
            threading.Thread(target=self._follow, args=(pipe,), name="policy-output", daemon=True) for pipe in (self._stdout, self._stderr)
        ]
        self._remote: RemotePolicy | None = None
        for reader in self._readers:
            reader.start()
        try:
            with self._explained():
                self._remote = self._connect(child, token)
        except BaseException:
            self.close()
            raise
        self.contract: Table = self._remote.contract
        """What the policy was trained for, as in contract.json of its checkpoint."""
        self.fingerprint: Table = self._remote.fingerprint
        """What made it."""
        self.process: int = self._process.pid
        """Its number."""

    @property
    def seconds(self) -> float:
        """That the inference of the newest answer took [s]; NaN before the first."""
        return self._connected().seconds

    def reset(self, instruction: str) -> None:
        """Starts a new trial; waits. Raises PolicyLost, PolicyRefused."""
        with self._explained():
            self._connected().reset(instruction)

    def predict(self, observation: Observation) -> ActionChunk:
        """The next actions; waits. Raises PolicyLost, PolicyRefused."""
        with self._explained():
            return self._connected().predict(observation)

    def ask(self, observation: Observation, number: int) -> None:
        """Asks for the next actions, and returns at once. Raises PolicyLost, PolicyRefused."""
        with self._explained():
            self._connected().ask(observation, number)

    def answer(self) -> tuple[int, ActionChunk] | None:
        """Number and actions of what was asked last, once; None while there is no answer. Never waits. Raises PolicyLost, PolicyRefused."""
        with self._explained():
            if self._process.poll() is not None:
                raise PolicyLost("it was to answer")
            return self._connected().answer()

    def close(self) -> None:
        """Ends the child, by force where it does not go by itself; idempotent, never raises."""
        if self._remote:
            self._remote.close()
        with contextlib.suppress(OSError):
            self._stdin.close()
        try:
            self._process.wait(LAST)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for reader, pipe in zip(self._readers, (self._stdout, self._stderr), strict=True):
            reader.join(1.0)  # a grandchild may hold the pipe open
            if not reader.is_alive():
                pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _connected(self) -> RemotePolicy:
        if self._remote is None:
            raise RobotError("the policy's process is not connected")
        return self._remote

    def _connect(self, child: PolicyChild, token: str) -> RemotePolicy:
        with contextlib.suppress(OSError):  # gone already: the wait for its port will say so
            self._stdin.write(token.encode() + b"\n")
            self._stdin.flush()
        line = self._port_line(time.monotonic() + child.start_s, child.start_s)
        try:
            port = int(json.loads(line)["port"])
        except (ValueError, TypeError, KeyError, RecursionError):
            raise PolicyLost(f"it printed {one_line(line, 80)!r} instead of its port") from None
        return PolicyAddress(port, token, answer_s=child.answer_s, beat_s=child.beat_s, connect_s=max(child.answer_s, 5.0)).connect()

    def _port_line(self, deadline: float, seconds: float) -> str:
        while time.monotonic() < deadline:
            with contextlib.suppress(queue.Empty):
                return self._first.get(timeout=0.05)
            if self._process.poll() is not None:
                self._readers[0].join(NAMED)  # what it printed last may still be in the pipe
                if self._first.empty():
                    raise PolicyLost("it was to print its port")
        raise PolicyLost(f"it did not print its port within {seconds:g} s")

    def _follow(self, pipe: IO[bytes]) -> None:
        """Keeps the last lines; a child that prints much neither fills the pipe nor our memory."""
        first = pipe is self._stdout
        while line := pipe.readline(1 << 16):
            text = line.decode("utf-8", "replace").strip()
            if first:
                self._first.put(text)
                first = False
            elif text:
                self._tail.append(one_line(text, 200))

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Adds to a loss what became of the child, and what it said last."""
        try:
            yield
        except PolicyLost as error:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(NAMED)  # its connection ends a moment before it does
            for reader in self._readers if self._process.returncode is not None else ():
                reader.join(NAMED / 4)
            said = f"; it said last: {' | '.join(list(self._tail)[-5:])}" if self._tail else ""
            raise PolicyLost(f"the policy's process {self._ending()}: {error}{said}") from None

    def _ending(self) -> str:
        code = self._process.poll()
        if code is None:
            return "runs but does not serve"
        names = {one.value: one.name for one in signal.Signals}
        return f"was ended by {names.get(-code, f'signal {-code}')}" if code < 0 else f"ended with code {code}"


def token_from_parent() -> str:
    """For the child: its token, the first line of stdin; from here on it ends when its parent does. Raises RobotError."""
    line = b""
    while len(line) < 1024 and (byte := os.read(0, 1)) not in (b"", b"\n"):  # unbuffered: the rest is for `_follow_parent`
        line += byte
    threading.Thread(target=_follow_parent, args=(os.getppid(),), name="follow-parent", daemon=True).start()
    return check_token(line.decode("utf-8", "replace"))


def _follow_parent(parent: int) -> None:
    """Ends this process once its parent has closed our stdin, or has been replaced by another as our parent."""
    while os.getppid() == parent:
        ready, _, _ = select.select([0], [], [], 1.0)
        if ready and not os.read(0, 1024):
            break
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(LAST)
    os._exit(1)  # the main thread is stuck in a prediction


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise RobotError("the policy's process was started without pipes")
    return pipe
