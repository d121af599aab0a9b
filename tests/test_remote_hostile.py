"""A server that is none, lies, or sends nonsense: the client says by name what is wrong, and goes on living."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from remote_world import CONTRACT, LONG, TOKEN, seen, soon

from hardware.api import RobotError
from hardware.channel import Channel
from hardware.opening import HEAD, PROOF, head, prove
from hardware.remote import PolicyAddress, PolicyLost, PolicyRefused
from hardware.wire import (
    DEFAULT_LIMITS,
    MAGIC,
    PREFIX,
    Bye,
    Chunk,
    Failed,
    Hello,
    Message,
    Ping,
    Pong,
    Predict,
    Ready,
    Refused,
    Reset,
    Welcome,
    encode,
)


@contextlib.contextmanager
def impostor(act: Callable[[Channel], None]) -> Iterator[PolicyAddress]:
    """A server that does to one client what `act` says."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(LONG)

        def run() -> None:
            channel = Channel(listener.accept()[0])
            with contextlib.suppress(RobotError):
                act(channel)
            channel.close()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield PolicyAddress(listener.getsockname()[1], TOKEN, connect_s=2.0, answer_s=2.0)
        finally:
            thread.join(LONG)


def lets_in(channel: Channel, token: str = TOKEN) -> None:
    mine = head()
    channel.write(mine, soon())
    theirs = bytes(channel.read(HEAD.size + PROOF, soon()))[: HEAD.size]
    assert isinstance(channel.receive(DEFAULT_LIMITS, soon()), Hello)
    channel.send(Welcome(prove("server", token, mine + theirs).hex(), CONTRACT, {}), soon())


OPENINGS: list[tuple[Callable[[Channel], object], type[RobotError], str]] = [
    (lambda c: c.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", soon()), PolicyRefused, "is no policy server"),
    (lambda c: c.write(head()[:30], soon()), PolicyLost, "14 of 34 bytes came"),
    (lambda c: None, PolicyLost, "did not complete the handshake: .*does it want TLS"),
    (lambda c: c.write(head(version=2), soon()), PolicyRefused, "speaks version 2, this client 1"),
    (lambda c: c.write(head() + encode(Refused("busy\x1b[2J", "no\n" * 999)), soon()), PolicyRefused, "refused: busy .2J: no no"),
    (lambda c: c.write(head() + encode(Pong(1)), soon()), PolicyRefused, "'pong' instead of a welcome"),
    (lambda c: c.write(head() + b"\x80\x04K\x01." * 9, soon()), PolicyRefused, "malformed"),
    (lambda c: c.write(head() + PREFIX.pack(MAGIC, (1 << 32) - 1, 0), soon()), PolicyRefused, "header of 4294967295 bytes"),
    (lambda c: c.write(head() + PREFIX.pack(MAGIC, 9, (1 << 32) - 1), soon()), PolicyRefused, "payload of 4294967295 bytes"),
    (lambda c: c.write(head() + encode(Welcome("", CONTRACT, {})), soon()), PolicyRefused, "does not know the token itself"),
    (lambda c: lets_in(c, "a token that it guessed"), PolicyRefused, "does not know the token itself"),
]


@pytest.mark.parametrize(("act", "kind", "message"), OPENINGS)
def test_a_server_that_is_none_is_refused(act: Callable[[Channel], None], kind: type[RobotError], message: str) -> None:
    before = threading.active_count()
    with impostor(act) as there, pytest.raises(kind, match=message):
        there.connect()
    assert threading.active_count() == before


def answers(*replies: Callable[[int, float], Message | bytes]) -> Callable[[Channel], None]:
    """A server that lets in, and answers its first question with these; then waits for the client to leave."""

    def act(channel: Channel) -> None:
        lets_in(channel)
        while not isinstance(asked := channel.receive(DEFAULT_LIMITS, soon()), Predict):
            assert isinstance(asked, Ping | Reset)
            channel.send(Pong(asked.number) if isinstance(asked, Ping) else Ready(asked.number), soon())
        for reply in replies:
            answer = reply(asked.number, asked.time)
            channel.write(answer if isinstance(answer, bytes) else encode(answer), soon())
        while True:
            channel.receive(DEFAULT_LIMITS, soon())

    return act


def chunk(number: int, sensed: float, value: float = 0.0) -> Chunk:
    return Chunk(number, sensed, 0.01, np.full((2, 2), value), np.zeros((2, 1)))


ANSWERS: list[tuple[Callable[[int, float], Message | bytes], type[RobotError], str]] = [
    (lambda n, t: b"\x00" * 40, PolicyRefused, "malformed: a frame begins with"),
    (lambda n, t: PREFIX.pack(MAGIC, 10, 1 << 30), PolicyRefused, "malformed: a frame's payload of 1073741824 bytes"),
    (lambda n, t: PREFIX.pack(MAGIC, 100_000, 0) + b"[" * 100_000, PolicyRefused, "malformed: a header that is no JSON"),
    (lambda n, t: Hello("you"), PolicyRefused, "'hello' instead of an answer"),
    (lambda n, t: Pong(n), PolicyRefused, "answered with 'pong'"),
    (lambda n, t: Ready(n), PolicyRefused, "answered with 'ready'"),
    (lambda n, t: chunk(n, t + 1), PolicyRefused, "an answer to the observation of"),
    (lambda n, t: Failed(n, "no GPU\x1b[31m"), PolicyRefused, "the policy failed: no GPU .31m$"),
    (lambda n, t: Refused("contract", "another arm"), PolicyRefused, "refused: contract: another arm"),
    (lambda n, t: Bye("maintenance"), PolicyLost, "said goodbye: maintenance"),
    (lambda n, t: encode(chunk(n, t))[:-1], PolicyLost, "the time was up"),
]


@pytest.mark.parametrize(("reply", "kind", "message"), ANSWERS)
def test_an_answer_that_is_none_is_refused(reply: Callable[[int, float], Message | bytes], kind: type[RobotError], message: str) -> None:
    with impostor(answers(reply)) as there, replace(there, answer_s=0.5).connect() as policy:
        policy.reset("")
        with pytest.raises(kind, match=message):
            policy.predict(seen())


def test_late_and_double_answers_and_such_from_the_future_are_dropped_by_number() -> None:
    others = (lambda n, t: chunk(n - 1, t, 1.0), lambda n, t: chunk(n + 1, t, 2.0), lambda n, t: Pong(0), lambda n, t: chunk(n, t, 3.0))
    with impostor(answers(*others, others[3])) as there, there.connect() as policy:
        assert policy.predict(seen()).qpos[0, 0] == 3.0
        policy.ask(seen(), 2)
        time.sleep(0.05)
        assert policy.answer() is None  # the double of the first answer is in the pipe


def test_a_flood_of_wrong_answers_ends_at_the_deadline() -> None:
    def act(channel: Channel) -> None:
        lets_in(channel)
        for number in itertools.count(10**6):
            channel.send(chunk(number, 0.0), soon())

    with impostor(act) as there, replace(there, answer_s=0.3).connect() as policy, pytest.raises(PolicyLost, match="the time was up"):
        policy.predict(seen())


@settings(max_examples=40, deadline=None)
@given(data=st.binary(max_size=300), stage=st.integers(0, 3))
def test_random_bytes_at_any_stage_leave_a_client_that_says_what_is_wrong(data: bytes, stage: int) -> None:
    def act(channel: Channel) -> None:
        if stage == 3:
            answers(lambda n, t: encode(chunk(n, t))[:40] + data)(channel)
        elif stage == 2:
            lets_in(channel)
            channel.write(data, soon())
        else:
            channel.write(head()[: 25 if stage else 0] + data, soon())

    def use(there: PolicyAddress) -> None:
        with replace(there, answer_s=0.1, connect_s=0.1).connect() as policy:
            policy.predict(seen())

    with impostor(act) as there, pytest.raises((PolicyLost, PolicyRefused)):
        use(there)
