"""A policy behind a socket is the same policy; when the server or the network goes, the control loop is told."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
from remote_world import CONTRACT, FINGERPRINT, LONG, TOKEN, Echo, address, poll, seen, served, serving, until

from hardware.api import ActionChunk, ActionError, Observation
from hardware.remote import PolicyAddress, PolicyLost, PolicyRefused
from hardware.serve import PolicyServer


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
