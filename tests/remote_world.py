"""Servers of policies and their clients, honest and otherwise, for tests: all on the loopback address, none left behind."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from hardware.api import ActionChunk, Observation
from hardware.channel import Channel
from hardware.opening import HEAD, head, prove
from hardware.remote import PolicyAddress, RemotePolicy
from hardware.serve import PolicyServer, Serving
from hardware.wire import (
    DEFAULT_LIMITS,
    PROTOCOL,
    Hello,
    Refused,
    Welcome,
    encode,
)

TOKEN = "a token of these tests, not a secret"
CONTRACT = {"cameras": ["side"], "size": [8, 8], "dt": 0.05}
FINGERPRINT = {"data": "none"}
LONG = 20.0
"""A deadline that no test waits for [s]."""


@dataclass
class Echo:
    """Answers with the joints it saw; waits, or raises, where a test wants it to."""

    wait: threading.Event = field(default_factory=threading.Event)
    asked: list[float] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    error: Exception | None = None

    def __post_init__(self) -> None:
        self.wait.set()

    def reset(self, instruction: str) -> None:
        self.said.append(instruction)

    def predict(self, observation: Observation) -> ActionChunk:
        self.asked.append(float(observation.qpos[0]))
        assert self.wait.wait(LONG)
        if self.error:
            raise self.error
        return ActionChunk(np.stack([observation.qpos] * 4), np.stack([observation.gripper] * 4))


def seen(q: float = 0.5) -> Observation:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (8, 8, 3), np.uint8)
    return Observation({"side": image}, {"side": image[..., 0] > 100}, np.array([q, -q]), np.ones(1), time.monotonic())


@contextlib.contextmanager
def serving(policy: Echo, log: list[str] | None = None, **changes: object) -> Iterator[PolicyServer]:
    """A server in a thread; leaves none behind."""
    settings = Serving(**{"token": TOKEN, "guess_s": 0.05} | changes)  # pyright: ignore[reportArgumentType]
    with PolicyServer(policy, settings, CONTRACT, FINGERPRINT, (log if log is not None else []).append) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield server
        finally:
            policy.wait.set()
            server.stop()
            thread.join(LONG)
    assert not [thread for thread in server._threads if thread.is_alive()]


def address(server: PolicyServer, **changes: object) -> PolicyAddress:
    return PolicyAddress(server.port, **{"token": TOKEN, "connect_s": LONG, "answer_s": LONG} | changes)  # pyright: ignore[reportArgumentType]


def poll(policy: RemotePolicy) -> tuple[int, ActionChunk]:
    """Asks for the answer until it is there."""
    deadline = time.monotonic() + LONG
    while time.monotonic() < deadline:
        if (answer := policy.answer()) is not None:
            return answer
        time.sleep(0.002)
    raise AssertionError("no answer")


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)


def served(server: PolicyServer) -> None:
    """An honest client gets its answer."""
    with address(server).connect() as policy:
        assert policy.predict(seen(0.25)).qpos[0, 0] == 0.25


@contextlib.contextmanager
def raw(server: PolicyServer) -> Iterator[Channel]:
    """A connection that has read the server's head and said nothing."""
    channel = Channel(socket.create_connection(("127.0.0.1", server.port)))
    try:
        yield channel
    finally:
        channel.close()


def opening(theirs: bytes, version: int = PROTOCOL, token: str = TOKEN) -> bytes:
    mine = head(version)
    return mine + prove("client", token, theirs + mine)


def soon() -> float:
    return time.monotonic() + LONG


def refusal(channel: Channel) -> Refused:
    reply = channel.receive(DEFAULT_LIMITS, soon())
    assert isinstance(reply, Refused)
    return reply


def admitted(channel: Channel) -> Welcome:
    channel.write(opening(bytes(channel.read(HEAD.size, soon()))) + encode(Hello("raw")), soon())
    welcome = channel.receive(DEFAULT_LIMITS, soon())
    assert isinstance(welcome, Welcome)
    return welcome
