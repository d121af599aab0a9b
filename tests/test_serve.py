"""Clients that are strangers, slow or malicious are refused by name, and the next honest one is served; TLS, tokens, addresses."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from remote_world import LONG, TOKEN, Echo, address, admitted, opening, poll, raw, refusal, seen, served, serving, soon, until

from hardware.api import ActionChunk, Observation, RobotError
from hardware.opening import HEAD, NAME, PROOF, Certificate, Trust, is_loopback, make_token, read_token
from hardware.remote import PolicyAddress, PolicyLost, PolicyRefused
from hardware.serve import PolicyServer, Serving
from hardware.wire import (
    DEFAULT_LIMITS,
    MAGIC,
    PREFIX,
    Hello,
    Ping,
    Pong,
    Predict,
    Welcome,
    WireError,
    encode,
)


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
