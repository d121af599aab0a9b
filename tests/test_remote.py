"""A policy behind a socket is the same policy; whoever is hostile on either side is refused by name, and the next one is served."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hardware.api import ActionChunk, ActionError, Observation, RobotError
from hardware.channel import Channel
from hardware.opening import HEAD, NAME, PROOF, Certificate, Trust, head, is_loopback, make_token, prove, read_token
from hardware.remote import PolicyAddress, PolicyLost, PolicyRefused, RemotePolicy
from hardware.serve import PolicyServer, Serving
from hardware.wire import (
    DEFAULT_LIMITS,
    MAGIC,
    PREFIX,
    PROTOCOL,
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
    WireError,
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


# -- honest on both sides


def test_a_remote_policy_is_the_policy() -> None:
    local = Echo()
    with serving(Echo()) as server, address(server).connect("a test") as policy:
        assert dict(policy.contract) == CONTRACT
        assert dict(policy.fingerprint) == FINGERPRINT
        policy.reset("pick up the mug")
        for q in (0.1, -3.0, 1e-300):
            o = seen(q)
            ours, theirs = local.predict(o), policy.predict(o)
            assert ours.qpos.tobytes() == theirs.qpos.tobytes()
            assert ours.gripper.tobytes() == theirs.gripper.tobytes()
        assert 0 <= policy.seconds < LONG


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_every_name_of_this_machine_will_do(host: str) -> None:
    try:
        socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError:
        pytest.skip(f"this machine has no {host}")
    with serving(Echo(), host=host) as server, address(server, host=host).connect() as policy:
        assert policy.predict(seen(0.5)).qpos[0, 0] == 0.5


def test_asking_and_polling_never_wait() -> None:
    echo = Echo()
    echo.wait.clear()
    with serving(echo) as server, address(server).connect() as policy:
        policy.ask(seen(0.5), 41)
        until(lambda: echo.asked)
        assert policy.answer() is None  # while the policy thinks
        echo.wait.set()
        number, chunk = poll(policy)
        assert (number, chunk.qpos[0, 0]) == (41, 0.5)
        assert policy.answer() is None  # an answer is given once


def test_the_newest_question_wins_and_answers_to_older_ones_are_dropped() -> None:
    echo = Echo()
    echo.wait.clear()
    with serving(echo) as server, address(server).connect() as policy:
        policy.ask(seen(1.0), 1)
        until(lambda: echo.asked)
        for number in (2, 3, 4):
            policy.ask(seen(float(number)), number)
        echo.wait.set()
        number, chunk = poll(policy)
        assert (number, chunk.qpos[0, 0]) == (4, 4.0)
        assert echo.asked == [1.0, 4.0]  # those between were never sent


def test_a_reset_drops_what_was_asked_before() -> None:
    echo = Echo()
    echo.wait.clear()
    with serving(echo) as server, address(server).connect() as policy:
        policy.ask(seen(1.0), 0)
        until(lambda: echo.asked)
        threading.Timer(0.05, echo.wait.set).start()
        policy.reset("again")
        assert policy.answer() is None
        policy.ask(seen(2.0), 0)  # the same number as before
        assert poll(policy)[1].qpos[0, 0] == 2.0
        assert echo.said == ["again"]


def test_an_observation_is_taken_as_it_was_when_asked() -> None:
    with serving(Echo()) as server, address(server).connect() as policy:
        o = seen(0.5)
        policy.ask(o, 1)
        o.qpos[:] = 9.0
        assert poll(policy)[1].qpos[0, 0] == 0.5


def test_actions_that_are_not_finite_pass_for_the_robot_to_refuse() -> None:
    with serving(Echo()) as server, address(server).connect() as policy:
        chunk = policy.predict(replace(seen(), qpos=np.array([np.nan, 0.0])))
        with pytest.raises(ActionError):
            chunk[0]


def test_a_policy_that_raises_refuses_once_and_serves_on() -> None:
    echo = Echo(error=ValueError("the picture of camera 'side'\nis too small"))
    with serving(echo) as server, address(server).connect() as policy:
        with pytest.raises(PolicyRefused, match="the policy failed: ValueError: the picture of camera 'side' is too small"):
            policy.predict(seen())
        policy.ask(seen(), 5)
        with pytest.raises(PolicyRefused, match="too small"):
            poll(policy)
        echo.error = None
        assert policy.predict(seen(0.5)).qpos[0, 0] == 0.5


def test_an_answer_that_is_no_chunk_is_refused_by_name() -> None:
    class Wrong(Echo):
        def predict(self, observation: Observation) -> ActionChunk:
            return ActionChunk(np.zeros(7), np.zeros(1))

    with serving(Wrong()) as server, address(server).connect() as policy, pytest.raises(PolicyRefused, match="a chunk's qpos is"):
        policy.predict(seen())


def test_heartbeats_keep_a_pause_alive_and_silence_ends_it() -> None:
    log: list[str] = []
    with serving(Echo(), log, silence_s=1.0) as server:
        with address(server, beat_s=0.05).connect() as policy:
            time.sleep(1.5)
            assert policy.predict(seen(0.5)).qpos[0, 0] == 0.5
        with address(server, beat_s=LONG).connect() as policy:
            until(lambda: any("lost: 0 of 12 bytes came: the time was up" in line for line in log))
            with pytest.raises(PolicyLost, match="is lost"):
                policy.predict(seen())
        served(server)


def test_one_client_at_a_time_the_second_is_told_who_has_it() -> None:
    with serving(Echo()) as server:
        with address(server).connect("arm 1") as first:
            with pytest.raises(PolicyRefused, match=r"busy: the server serves arm 1 at 127\.0\.0\.1:"):
                address(server).connect()
            assert first.predict(seen(0.5)).qpos[0, 0] == 0.5
        served(server)


# -- the server goes


def test_a_server_that_stops_is_lost_within_a_heartbeat_and_stays_lost() -> None:
    with serving(Echo()) as server:
        policy = address(server, beat_s=0.05).connect()
    for call in (policy.answer, lambda: policy.ask(seen(), 1), lambda: policy.predict(seen()), lambda: policy.reset("")) * 2:
        until(lambda: not policy._thread.is_alive())
        with pytest.raises(PolicyLost, match=r"127\.0\.0\.1:\d+ is lost"):
            call()
    policy.close()
    policy.close()


def test_a_policy_that_hangs_is_lost_at_the_deadline() -> None:
    echo = Echo()
    echo.wait.clear()
    with serving(echo) as server, address(server, answer_s=0.2).connect() as policy:
        policy.ask(seen(), 1)
        with pytest.raises(PolicyLost, match="the time was up"):
            poll(policy)


def test_closing_does_not_wait_for_an_answer() -> None:
    echo = Echo()
    echo.wait.clear()
    with serving(echo) as server:
        policy = address(server).connect()
        policy.ask(seen(), 1)
        until(lambda: echo.asked)
        start = time.monotonic()
        policy.close()
        assert time.monotonic() - start < LONG / 4
        with pytest.raises(PolicyLost):
            policy.answer()
        echo.wait.set()
        served(server)


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(PolicyLost, match=f"cannot reach the policy server at 127.0.0.1:{port}"):
        PolicyAddress(port, TOKEN).connect()


# -- the network between them


@dataclass
class Cable:
    """Carries bytes both ways, each after `delay` seconds; cut, it swallows them, and neither side is told."""

    port: int
    delay: float = 0.0
    cut: bool = False

    def carry(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                time.sleep(self.delay)
                if not self.cut:
                    sink.sendall(data)


@contextlib.contextmanager
def cable(server: PolicyServer) -> Iterator[Cable]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made, ends, threads = Cable(listener.getsockname()[1]), [], []

        def plug() -> None:
            near, far = listener.accept()[0], socket.create_connection(("127.0.0.1", server.port))
            ends.extend((near, far))
            for pair in ((near, far), (far, near)):
                threads.append(threading.Thread(target=made.carry, args=pair))
                threads[-1].start()

        plugging = threading.Thread(target=plug)
        plugging.start()
        try:
            yield made
        finally:
            plugging.join(LONG)
            for end in ends:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(LONG)
            for end in ends:
                end.close()


def test_a_cut_cable_is_noticed_on_both_sides() -> None:
    log: list[str] = []
    with serving(Echo(), log, silence_s=0.5) as server, cable(server) as between:
        with PolicyAddress(between.port, TOKEN, connect_s=LONG, answer_s=0.5, beat_s=0.1).connect() as policy:
            assert policy.predict(seen(0.5)).qpos[0, 0] == 0.5
            between.cut = True
            with pytest.raises(PolicyLost, match="the time was up"):
                poll(policy)  # nothing was asked: the heartbeat tells
            until(lambda: any("lost: 0 of 12 bytes came: the time was up" in line for line in log))
        served(server)


def test_a_slow_cable_delays_answers_and_nobody_waits_for_them() -> None:
    with (
        serving(Echo()) as server,
        cable(server) as between,
        PolicyAddress(between.port, TOKEN, connect_s=LONG, answer_s=LONG).connect() as policy,
    ):
        between.delay = 0.2
        start = time.monotonic()
        policy.ask(seen(0.5), 1)
        assert policy.answer() is None
        assert poll(policy)[1].qpos[0, 0] == 0.5
        assert time.monotonic() - start >= 0.4
        assert policy.seconds < 0.2  # what the policy needed, not the way


# -- hostile clients


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


def test_a_wrong_token_waits_and_is_refused_by_name() -> None:
    log: list[str] = []
    with serving(Echo(), log, guess_s=0.3) as server:
        start = time.monotonic()
        with pytest.raises(PolicyRefused, match="token: the token is not this server's"):
            address(server, token="another token of the same kind").connect()
        assert time.monotonic() - start >= 0.3
        assert any("refused: token" in line for line in log)
        assert not any(TOKEN in line for line in log)
        served(server)


def test_the_token_is_looked_at_before_the_version_and_the_version_is_refused_by_name() -> None:
    with serving(Echo()) as server:
        with raw(server) as channel:
            channel.write(opening(bytes(channel.read(HEAD.size, soon())), version=99, token="x" * 16), soon())
            assert refusal(channel).code == "token"
        with raw(server) as channel:
            channel.write(opening(bytes(channel.read(HEAD.size, soon())), version=99), soon())
            reply = refusal(channel)
            assert reply.code == "version"
            assert "speaks version 1, the client 99" in reply.detail


def test_a_proof_cannot_be_used_again() -> None:
    with serving(Echo()) as server:
        with raw(server) as channel:
            proof = opening(bytes(channel.read(HEAD.size, soon())))
        with raw(server) as channel:
            channel.read(HEAD.size, soon())
            channel.write(proof, soon())
            assert refusal(channel).code == "token"


def test_the_token_never_travels() -> None:
    with serving(Echo()) as server, raw(server) as channel:
        theirs = bytes(channel.read(HEAD.size, soon()))
        assert TOKEN.encode() not in theirs + opening(theirs)


FIRST_FRAMES = [
    (b"GET / HTTP/1.1\r\n\r\n", "a frame begins with"),
    (PREFIX.pack(MAGIC, 1 << 31, 0), "header of 2147483648 bytes; at most 4096"),
    (PREFIX.pack(MAGIC, 10, 1), "payload of 1 bytes; at most 0"),
    (PREFIX.pack(MAGIC, 4000, 0) + b"[" * 4000, "no JSON of ours"),
    (encode(Ping(1)), "the first message is 'hello', not 'ping'"),
    (encode(Hello("x" * 5000)), "at most 4096"),
]


@pytest.mark.parametrize(("data", "message"), FIRST_FRAMES)
def test_a_first_frame_that_is_no_hello_is_refused(data: bytes, message: str) -> None:
    with serving(Echo()) as server:
        with raw(server) as channel:
            channel.write(opening(bytes(channel.read(HEAD.size, soon()))) + data, soon())
            reply = refusal(channel)
            assert reply.code == "malformed"
            assert message in reply.detail
        served(server)


LATER_FRAMES = [
    (b"\x00" * 200, "a frame begins with"),
    (PREFIX.pack(MAGIC, 20, (1 << 32) - 1), "payload of 4294967295 bytes"),
    (PREFIX.pack(MAGIC, 100_000, 0) + b"[" * 100_000, "no JSON of ours"),
    (encode(Hello("again")), "does not send 'hello'"),
    (encode(Welcome("", {}, {})), "does not send 'welcome'"),
    (encode(Pong(1)), "does not send 'pong'"),
    (PREFIX.pack(MAGIC, 49, 0) + b'{"kind":"reset","fields":{"number":0},"arrays":[]}'[:49], "no JSON"),
    (PREFIX.pack(MAGIC, 50, 0) + b'{"kind":"reset","fields":{"number":0},"arrays":[]}', "without instruction"),
]


@pytest.mark.parametrize(("data", "message"), LATER_FRAMES)
def test_a_malformed_frame_ends_the_connection_by_name(data: bytes, message: str) -> None:
    with serving(Echo()) as server:
        with raw(server) as channel:
            admitted(channel)
            channel.write(data, soon())
            reply = refusal(channel)
            assert reply.code == "malformed"
            assert message in reply.detail
        served(server)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(min_size=0, max_size=400), stage=st.integers(0, 3), cut=st.booleans())
def test_random_bytes_at_any_stage_leave_a_server_that_serves(fuzzed: PolicyServer, data: bytes, stage: int, cut: bool) -> None:
    with raw(fuzzed) as channel:
        theirs = bytes(channel.read(HEAD.size, soon()))
        if stage == 1:
            channel.write(opening(theirs), soon())
        elif stage >= 2:
            channel.write(opening(theirs) + encode(Hello("fuzz")), soon())
            assert isinstance(channel.receive(DEFAULT_LIMITS, soon()), Welcome)
        with contextlib.suppress(RobotError):  # the server may hang up before it has all
            channel.write((encode(Predict.of(1, seen())) if stage == 3 else b"")[: 50 if cut else None] + data, soon())
    with address(fuzzed).connect() as policy:
        policy.predict(seen())


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[PolicyServer]:
    with serving(Echo(), guess_s=0.0) as server:
        yield server


def test_slow_clients_are_dropped_at_the_deadline_however_often_they_send() -> None:
    log: list[str] = []
    with serving(Echo(), log, opening_s=0.4) as server:
        slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(12)]  # more than may open at the same time
        try:
            deadline = time.monotonic() + LONG
            while len([line for line in log if "the time was up" in line]) < 12:
                assert time.monotonic() < deadline
                for sock in slow:
                    with contextlib.suppress(OSError):
                        sock.send(b"x")
                time.sleep(0.1)
        finally:
            for sock in slow:
                sock.close()
        served(server)


def test_a_client_that_stalls_within_a_frame_is_dropped() -> None:
    log: list[str] = []
    with serving(Echo(), log, silence_s=0.3) as server:
        with raw(server) as channel:
            admitted(channel)
            channel.write(encode(Predict.of(1, seen()))[:-1], soon())
            until(lambda: any("lost: " in line and "the time was up" in line for line in log))
        served(server)


def test_a_client_that_does_not_take_its_answer_is_dropped() -> None:
    class Wordy(Echo):
        def predict(self, observation: Observation) -> ActionChunk:
            return ActionChunk(np.zeros((60_000, 60)), np.zeros((60_000, 1)))

    log: list[str] = []
    with serving(Wordy(), log, send_s=0.3) as server, raw(server) as channel:
        admitted(channel)
        channel.write(encode(Predict.of(1, seen())), soon())
        until(lambda: any("could be sent: the time was up" in line for line in log))


# -- hostile servers


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


# -- TLS, tokens, addresses


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """As docs/remote.md makes it."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    made = Certificate(folder / "cert.pem", folder / "key.pem")
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "365"]
    names = ["-subj", "/CN=policy", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(made.key), "-out", str(made.chain)]
    subprocess.run(["openssl", "req", *kind, *names], check=True, capture_output=True)
    return made


def pinned(certificate: Certificate) -> Trust:
    command = ["openssl", "x509", "-in", str(certificate.chain), "-noout", "-fingerprint", "-sha256"]
    return Trust(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().split("=")[1])


def test_tls_with_a_pinned_certificate_or_a_ca(certificate: Certificate) -> None:
    with serving(Echo(), certificate=certificate) as server:
        for trust in (pinned(certificate), Trust(ca=certificate.chain)):
            with address(server, trust=trust).connect() as policy:
                assert policy.predict(seen(0.5)).qpos[0, 0] == 0.5
                policy.ask(seen(0.75), 3)
                assert poll(policy)[1].qpos[0, 0] == 0.75


def test_another_certificate_is_refused_before_the_token_is_used(certificate: Certificate) -> None:
    log: list[str] = []
    with serving(Echo(), log, certificate=certificate) as server:
        with pytest.raises(PolicyRefused, match="another certificate than the one that is trusted"):
            address(server, trust=Trust("0" * 64)).connect()
        with pytest.raises(PolicyRefused, match="not trusted: Hostname mismatch"):
            address(server, host="localhost", trust=Trust(ca=certificate.chain)).connect()
        with pytest.raises(PolicyLost, match="does it want TLS"):
            address(server, connect_s=0.3).connect()
        with raw(server) as channel:
            channel.write(b"\x16\x03\x01" + b"\xff" * 60, soon())
        until(lambda: len([line for line in log if "gone before it was served" in line]) >= 4)
        with address(server, trust=pinned(certificate)).connect() as policy:
            policy.predict(seen())


def test_a_slow_tls_handshake_is_dropped(certificate: Certificate) -> None:
    log: list[str] = []
    with serving(Echo(), log, certificate=certificate, opening_s=0.3) as server, raw(server):
        until(lambda: any("timed out" in line for line in log))


def test_no_server_beyond_this_machine_without_token_and_tls(certificate: Certificate) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "robot.example", ""):
        assert not is_loopback(host)
        with pytest.raises(RobotError, match="needs a certificate"):
            Serving(TOKEN, host)
        with pytest.raises(RobotError, match="a token of 0 characters"):
            Serving("", host, certificate=certificate)
        with pytest.raises(RobotError, match="needs TLS"):
            PolicyAddress(1, TOKEN, host)
    for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        assert is_loopback(host)
        Serving(TOKEN, host)
    Serving(TOKEN, "0.0.0.0", certificate=certificate)


@pytest.mark.parametrize("trust", [{}, {"fingerprint": "aa", "ca": Path("x")}, {"fingerprint": "aa:bb"}, {"fingerprint": "g" * 64}])
def test_what_is_trusted_must_be_said_and_said_right(trust: dict) -> None:
    with pytest.raises(RobotError, match=r"trust needs|is no SHA-256"):
        Trust(**trust)


def test_files_that_are_missing_or_wrong_are_named(tmp_path: Path) -> None:
    (tmp_path / "junk").write_text("junk")
    for bad in (tmp_path / "none", tmp_path / "junk"):
        with pytest.raises(RobotError, match=str(bad)):
            Certificate(bad, bad).context()
        with pytest.raises(RobotError, match=str(bad)):
            Trust(ca=bad).context()


def test_a_token_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    file, token = tmp_path / "token", make_token()
    with pytest.raises(RobotError, match="cannot read token file"):
        read_token(file)
    file.write_text(token + "\n")
    file.chmod(0o644)
    with pytest.raises(RobotError, match="chmod 600"):
        read_token(file)
    file.chmod(0o600)
    assert read_token(file) == token
    file.write_text("short\n")
    with pytest.raises(RobotError, match="5 characters"):
        read_token(file)


def test_a_token_is_not_shown() -> None:
    assert TOKEN not in repr(Serving(TOKEN)) + repr(PolicyAddress(1, TOKEN))


def test_a_port_that_is_taken_is_named() -> None:
    with serving(Echo()) as server:
        second = PolicyServer(Echo(), Serving(TOKEN, port=server.port), {}, {})
        with pytest.raises(RobotError, match=f"cannot listen on 127.0.0.1:{server.port}"):
            second.__enter__()


def test_the_opening_keeps_its_form() -> None:
    """Other versions must be able to read it, to be told that they are other versions."""
    assert (HEAD.size, PROOF, NAME, PREFIX.size) == (50, 32, b"cezanne policy\r\n", 12)
    assert isinstance(WireError("x"), RobotError)
