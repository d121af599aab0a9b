"""A policy in a child process is the same policy; however either process ends, the other finds out, and nothing is left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from policy_world import CAMERAS, JOINTS, SIZE, tiny_observation, tiny_policy

from hardware.api import Observation
from hardware.child import PolicyChild, PolicyProcess, serve_command
from hardware.remote import PolicyAddress, PolicyLost, PolicyRefused
from policies import load_policy
from policies.checkpoint import Checkpoint, save_checkpoint
from policies.contract import Contract
from policies.serve import main
from policies.stats import Stats

ROOT = Path(__file__).resolve().parents[1]
LONG = 60.0
"""A deadline that no test waits for [s]."""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained, with history, so that a forgotten reset shows."""
    torch.manual_seed(0)
    config = tiny_policy(history=2)
    contract = Contract(CAMERAS, (SIZE, SIZE), ("a", "b", "c"), 1, "stick", 0.05, chunk=4, execute=2, history=2)
    rng = np.random.default_rng(0)
    spread = lambda *shape: rng.uniform(0.2, 1.0, shape).astype(np.float32)  # noqa: E731
    stats = Stats(spread(4), spread(4), spread(4, 4), spread(4, 4), spread(5), spread(5))
    made = Checkpoint(config, contract, stats, {"data": "none"})
    path = tmp_path_factory.mktemp("policy") / "checkpoint"
    save_checkpoint(path, made, made.network().state_dict(), {})
    return path


@pytest.fixture(scope="module")
def policy(checkpoint: Path) -> Iterator[PolicyProcess]:
    with PolicyChild(serve_command(checkpoint), start_s=LONG, answer_s=LONG).start() as process:
        yield process
    assert not alive(process.process)


def alive(process: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def script(body: str) -> tuple[str, ...]:
    """A child of our own making, without torch: fast to start."""
    return (sys.executable, "-P", "-c", textwrap.dedent(body))


SERVER = """
    import json, os, signal, sys, threading, time
    import numpy as np
    from hardware.api import ActionChunk
    from hardware.serve import PolicyServer, Serving
    from hardware.child import token_from_parent
    token = token_from_parent()
    class Policy:
        def reset(self, instruction): pass
        def predict(self, observation):
            {predict}
            return ActionChunk(np.zeros((2, 3)), np.zeros((2, 1)))
    with PolicyServer(Policy(), Serving(token), dict(), dict()) as server:
        signal.signal(signal.SIGTERM, lambda *_: server.stop())
        print(json.dumps(dict(port=server.port)), flush=True)
        server.run()
"""


def small(predict: str = "pass", **changes: float) -> PolicyProcess:
    return PolicyChild(script(SERVER.format(predict=predict)), **{"start_s": LONG, "answer_s": LONG} | changes).start()


def observation() -> Observation:
    return tiny_observation(np.random.default_rng(3))


# -- the checkpoint, served


def test_a_policy_in_a_process_is_the_policy(policy: PolicyProcess, checkpoint: Path) -> None:
    local, rng = load_policy(checkpoint), np.random.default_rng(1)
    torch.set_num_threads(1)  # as the child's
    assert policy.contract == json.loads((checkpoint / "contract.json").read_text())
    assert policy.fingerprint == json.loads((checkpoint / "fingerprint.json").read_text())
    for instruction in ("pick up the mug", "again"):
        local.reset(instruction)
        policy.reset(instruction)
        for _ in range(3):
            seen = tiny_observation(rng)
            ours, theirs = local.predict(seen), policy.predict(seen)
            np.testing.assert_allclose(theirs.qpos, ours.qpos, rtol=0, atol=1e-6)
            np.testing.assert_allclose(theirs.gripper, ours.gripper, rtol=0, atol=1e-6)
    assert 0 < policy.seconds < LONG


def test_asking_without_waiting(policy: PolicyProcess) -> None:
    policy.ask(tiny_observation(np.random.default_rng(2)), 7)
    answers: list = []
    until(lambda: answers.append(policy.answer()) or answers[-1])
    number, chunk = answers[-1]
    assert (number, chunk.qpos.shape) == (7, (4, JOINTS))


def test_an_observation_of_another_contract_is_refused_by_name(policy: PolicyProcess) -> None:
    seen = tiny_observation(np.random.default_rng(2))
    images = {"top" if name == "side" else name: image for name, image in seen.images.items()}
    with pytest.raises(PolicyRefused, match="PolicyError: the observation has no picture of camera 'side'"):
        policy.predict(type(seen)(images, seen.masks, seen.qpos, seen.gripper, seen.time))
    assert len(policy.predict(seen)) == 4


def test_the_token_is_in_no_list_of_processes(policy: PolicyProcess) -> None:
    seen = Path(f"/proc/{policy.process}/cmdline").read_bytes() + Path(f"/proc/{policy.process}/environ").read_bytes()
    assert b"--token-stdin" in seen
    assert b"token" not in seen.replace(b"--token-stdin", b"").lower()


@pytest.mark.slow
def test_a_checkpoint_that_cannot_be_loaded_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(PolicyLost, match=r"ended with code 2: .*; it said last: policies[.]serve: there is no checkpoint folder"):
        PolicyChild(serve_command(tmp_path / "none"), start_s=LONG).start()


@pytest.mark.slow
def test_a_server_for_others_starts_with_a_token_file_and_ends_by_signal(checkpoint: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("0123456789abcdef" * 2)
    token.chmod(0o600)
    command = [sys.executable, "-m", "policies.serve", str(checkpoint), "--token-file", str(token)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT) as server:
        try:
            assert server.stdout
            port = json.loads(server.stdout.readline())["port"]
            with PolicyAddress(port, token.read_text(), answer_s=LONG).connect() as client:
                assert len(client.predict(tiny_observation(np.random.default_rng(2)))) == 4
            server.send_signal(signal.SIGTERM)
            assert server.wait(LONG) == 0
        finally:
            server.kill()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--host", "0.0.0.0"], "host=0.0.0.0 can be reached from other machines: that needs a certificate"),
        (["--certificate", "cert.pem"], "needs both --certificate and --key"),
        (["--threads", "0"], "threads=0"),
        (["--device", "abacus"], "device=abacus"),
        (["--token-file", "/nowhere/token"], "cannot read token file /nowhere/token"),
    ],
)
def test_what_cannot_be_served_is_said_before_anything_is_loaded(
    change: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token = tmp_path / "token"
    token.write_text("0123456789abcdef")
    token.chmod(0o600)
    assert main([str(tmp_path / "none"), "--token-file", str(token), *change]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


# -- how processes end


def test_a_killed_child_is_named_and_never_started_again() -> None:
    with small("print('thinking', file=sys.stderr, flush=True)") as process:
        process.predict(observation())
        os.kill(process.process, signal.SIGKILL)
        for call in (lambda: until(process.answer), lambda: process.predict(observation()), lambda: process.reset(""), process.answer):
            with pytest.raises(PolicyLost, match=r"the policy's process was ended by SIGKILL: .*it said last: thinking"):
                call()


def test_a_child_that_dies_while_it_thinks_is_noticed() -> None:
    with small("os._exit(3)") as process:
        process.ask(observation(), 1)
        with pytest.raises(PolicyLost, match="ended with code 3"):
            until(process.answer)


def test_a_child_that_stands_still_is_lost_at_the_deadline() -> None:
    with small(answer_s=0.5, beat_s=0.1) as process:
        os.kill(process.process, signal.SIGSTOP)
        with pytest.raises(PolicyLost, match=r"runs but does not serve: .*the time was up"):
            until(process.answer)  # a heartbeat fails: nothing was asked
    assert not alive(process.process)


def test_a_child_that_ignores_everything_is_killed_on_close() -> None:
    with small("os.write(2, b'deaf\\n'); signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]); time.sleep(600)") as process:
        process.ask(observation(), 1)
        until(lambda: process._tail)
    assert not alive(process.process)
    process.close()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("import sys; print('no GPU', file=sys.stderr); sys.exit(5)", "ended with code 5: it was to print its port; it said last: no GPU"),
        ("print('hello')", "it printed 'hello' instead of its port"),
        ("print('[' * 100000)", "instead of its port"),
        ("print('{\"port\": 1}'); import sys; sys.stdin.read()", "cannot reach the policy server at 127.0.0.1:1"),
        ("import sys; sys.stdin.read()", "runs but does not serve: it did not print its port within 1 s"),
        ("import os; os.write(1, b'x' * (1 << 22)); import sys; sys.stdin.read()", "instead of its port"),
    ],
)
def test_a_child_that_does_not_serve_is_ended_and_quoted(body: str, message: str) -> None:
    before = children()
    with pytest.raises(PolicyLost) as caught:
        PolicyChild(script(body), start_s=1.0 if "within" in message else LONG).start()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert children() == before


def test_a_command_that_is_none_is_named() -> None:
    with pytest.raises(PolicyLost, match=r"cannot start the policy's process: .*no-such-program"):
        PolicyChild(("no-such-program",)).start()


def test_a_child_that_prints_without_end_is_read_and_forgotten() -> None:
    with small("[print('x' * 1000, file=sys.stderr) for _ in range(2000)]; print('y' * 10**6)") as process:
        assert len(process.predict(observation())) == 2
        assert len(process._tail) <= 40


PARENT = """
    import sys, time
    from hardware.child import PolicyChild
    process = PolicyChild(tuple(sys.argv[1:]), start_s=60).start()
    print(process.process, flush=True)
    time.sleep(600)
"""


def orphan(command: tuple[str, ...]) -> int:
    """The number of a child whose parent was killed."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([*script(PARENT), *command], stdout=subprocess.PIPE, env=environment) as parent:
        try:
            assert parent.stdout
            child = int(parent.stdout.readline())
            assert alive(child)
        finally:
            parent.kill()
    return child


def test_the_child_dies_with_a_parent_that_is_killed() -> None:
    child = orphan(script(SERVER.format(predict="pass")))
    until(lambda: not alive(child))


@pytest.mark.slow
def test_a_served_checkpoint_dies_with_a_parent_that_is_killed(checkpoint: Path) -> None:
    child = orphan(serve_command(checkpoint))
    until(lambda: not alive(child))


def test_ctrl_c_is_the_parents(policy: PolicyProcess) -> None:
    assert os.getsid(policy.process) != os.getsid(0)  # the terminal's signals do not reach it


def children() -> set[str]:
    return set(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split())
