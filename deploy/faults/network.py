"""The way to the policy's server that fails, and strangers at its door."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from deploy.faults.bench import Bench, ServedPolicy, Stage, served
from deploy.faults.fault import End, Fault, Outcome
from deploy.faults.relay import Wire, Wired, wired
from deploy.faults.wave import Wave
from hardware.api import ActionChunk, Observation
from hardware.opening import HEAD, head, make_token, prove
from hardware.reason import Reason
from hardware.remote import PolicyAddress, PolicyRefused
from hardware.serve import PolicyServer
from hardware.wire import Hello, encode

WIRE = "the network between loop and policy"
DOOR = "the policy's server, while it serves the arm"
_FUZZED = 40
"""Malformed openings of a stranger."""


def _row(
    name: str,
    breaks: str,
    expected: Reason | End,
    within: float,
    change: Callable[[Wire], object],
    seconds: float = 8.0,
    slow: bool = False,
) -> Fault:
    def inject(stage: Stage) -> None:
        if isinstance(stage.policy, Wired):
            change(stage.policy.wire)

    return Fault(name, breaks, WIRE, expected, within, lambda folder: Bench(policy=wired, seconds=seconds).run(folder, inject), slow)


def _delayed(seconds: float) -> Callable[[Wire], None]:
    def change(wire: Wire) -> None:
        wire.delay = seconds

    return change


def _bent(bend: Callable[[bytes], bytes]) -> Callable[[Wire], None]:
    def change(wire: Wire) -> None:
        wire.bend = bend

    return change


def _garbled(message: bytes) -> bytes:
    data = bytearray(message)
    for place in np.random.default_rng(len(message)).integers(0, len(data), 8):
        data[place] ^= 0xA5
    return bytes(data)


@dataclass
class _Door:
    """A policy, and the server that a stranger knocks at."""

    policy: ServedPolicy
    server: PolicyServer
    token: str

    def reset(self, instruction: str) -> None:
        """A new trial."""
        self.policy.reset(instruction)

    def ask(self, observation: Observation, number: int) -> None:
        """Begins to think."""
        self.policy.ask(observation, number)

    def answer(self) -> tuple[int, ActionChunk] | None:
        """Of what was asked last."""
        return self.policy.answer()


@contextlib.contextmanager
def _door(wave: Wave) -> Iterator[_Door]:
    with served(wave) as (server, token), PolicyAddress(server.port, token).connect("bench") as policy:
        yield _Door(policy, server, token)


def _strange(name: str, breaks: str, knock: Callable[[_Door], str]) -> Fault:
    """A stranger knocks from a thread of its own, is refused, and the arm goes on meanwhile."""

    def run(folder: Path) -> Outcome:
        said: list[tuple[str, float]] = []

        def try_it(door: _Door) -> None:
            begun = time.monotonic()
            said.append((knock(door), time.monotonic() - begun))

        def inject(stage: Stage) -> None:
            if isinstance(stage.policy, _Door):
                threads.append(threading.Thread(target=try_it, args=(stage.policy,), daemon=True))
                threads[0].start()

        threads: list[threading.Thread] = []
        outcome = Bench(policy=_door, seconds=1.2).run(folder, inject)
        for thread in threads:
            thread.join(10)
        if outcome.code is not End.GOES_ON:
            return outcome
        if not said or not said[0][0]:
            return replace(outcome, broken=(*outcome.broken, "the stranger was not refused"))
        return replace(outcome, code=End.REFUSED, detail=said[0][0], noticed=said[0][1])

    return Fault(name, breaks, DOOR, End.REFUSED, 0.1, run)


def _second(door: _Door) -> str:
    return _refused(PolicyAddress(door.server.port, door.token))


def _wrong_token(door: _Door) -> str:
    return _refused(PolicyAddress(door.server.port, make_token()))


def _refused(address: PolicyAddress) -> str:
    try:
        address.connect("stranger").close()
    except PolicyRefused as error:
        return str(error)
    return ""


def _fuzz(door: _Door) -> str:
    """Half of the messages come from somebody who knows the token; none may be taken."""
    rng = np.random.default_rng(7)
    for k in range(_FUZZED):
        with socket.create_connection(("127.0.0.1", door.server.port)) as sock, contextlib.suppress(OSError):
            sock.settimeout(5)
            theirs = sock.recv(HEAD.size, socket.MSG_WAITALL)
            mine = head()
            good = mine + prove("client", door.token, theirs + mine) + encode(Hello("stranger"))
            data = bytearray(good)
            for place in rng.integers(HEAD.size + 32 if k % 2 else 0, len(data), rng.integers(1, 9)):
                data[place] = rng.integers(256)
            sock.sendall(data[: rng.integers(1, len(data) + 1)])
            sock.shutdown(socket.SHUT_WR)
            while answer := sock.recv(4096):
                if b"welcome" in answer:
                    return ""
    return f"none of {_FUZZED} malformed openings was let in"


ROWS = (
    _row("network cut", "both ends are closed", Reason.POLICY_DEAD, 2.0, Wire.cut),
    _row("network slow", "answers take 1.5 s longer", Reason.ACTION_STALE, 3.0, _delayed(1.5), slow=True),
    _row("network a little slow", "answers take 0.1 s longer: late actions are cut", End.GOES_ON, 0.1, _delayed(0.1), 1.5),
    _row("answers doubled", "every answer comes twice", End.GOES_ON, 0.1, _bent(lambda message: message * 2), 1.5),
    _row("answers garbled", "eight bytes of an answer are others", Reason.POLICY_REFUSED, 2.0, _bent(_garbled)),
    _strange("two clients", "a second client with the right token", _second),
    _strange("wrong token", "a client with another token", _wrong_token),
    _strange("malformed messages", "forty openings with random bytes, cut anywhere", _fuzz),
)
