"""A wire between a policy's server and its client that can be cut, slowed, doubled and garbled."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from deploy.faults.bench import ServedPolicy, served
from deploy.faults.wave import Wave
from hardware.api import ActionChunk, Observation
from hardware.channel import Channel
from hardware.opening import HEAD
from hardware.remote import PolicyAddress
from hardware.wire import DEFAULT_LIMITS, WireError, WireLost, encode

_LONG = 60.0
"""Deadline of everything on the wire [s]."""


@dataclass
class Wire:
    """Two connections and what becomes of what goes through."""

    server: socket.socket
    client: socket.socket
    delay: float = 0.0
    """Of answers [s]."""
    bend: Callable[[bytes], bytes] = lambda message: message
    """What becomes of an answer's bytes."""

    def cut(self) -> None:
        """Ends both connections."""
        for end in (self.server, self.client):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def back(self) -> None:
        """Carries answers, one whole message at a time, until the wire is cut."""
        source, sink = Channel(self.server), Channel(self.client)
        with contextlib.suppress(WireLost, WireError, OSError):
            sink.write(bytes(source.read(HEAD.size, time.monotonic() + _LONG)), time.monotonic() + _LONG)
            while True:
                message = encode(source.receive(DEFAULT_LIMITS, time.monotonic() + _LONG))
                if self.delay:
                    time.sleep(self.delay)
                sink.write(self.bend(message), time.monotonic() + _LONG)
        self.cut()

    def forth(self) -> None:
        """Carries questions, as bytes."""
        with contextlib.suppress(OSError):
            while data := self.client.recv(1 << 16):
                self.server.sendall(data)
        self.cut()


@dataclass
class Wired:
    """A policy, and the wire to it."""

    policy: ServedPolicy
    wire: Wire

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
def wired(wave: Wave) -> Iterator[Wired]:
    """The policy behind a wire."""
    with served(wave) as (server, token), socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as stack:

        def join() -> None:
            wire = Wire(socket.create_connection(("127.0.0.1", server.port)), stack.enter_context(listener.accept()[0]))
            stack.enter_context(wire.server)
            for carry in (wire.back, wire.forth):
                thread = threading.Thread(target=carry, daemon=True)
                thread.start()
                stack.callback(thread.join, 5)
            stack.callback(wire.cut)
            wires.append(wire)

        wires: list[Wire] = []
        joining = threading.Thread(target=join, daemon=True)
        joining.start()
        with PolicyAddress(listener.getsockname()[1], token).connect("bench") as policy:
            joining.join()
            yield Wired(policy, wires[0])
