"""The policy of a deployment: a checkpoint in a process of its own, or a server elsewhere; and whether it fits."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deploy.errors import DeployError
from hardware.api import ActionChunk, Observation
from hardware.child import PolicyChild, PolicyProcess, serve_command
from hardware.limits import Limits
from hardware.opening import Trust, read_token
from hardware.remote import PolicyAddress, RemotePolicy
from policies.checkpoint import find_checkpoint
from policies.contract import Contract

LivePolicy = PolicyProcess | RemotePolicy


@dataclass
class PolicyAt:
    """Where the policy runs."""

    checkpoint: str = ""
    """Folder of a checkpoint or of a run: it is loaded in a process of its own on this machine."""
    server: str = ""
    """host:port of a policy server instead (docs/remote.md)."""
    token_file: str = ""
    """File with the token that is shared with the server."""
    certificate: str = ""
    """SHA-256 fingerprint of the server's certificate, or the path of a CA file; needed where the server is another machine."""
    device: str = "cpu"
    """cpu or cuda, of a checkpoint."""
    threads: int = 1
    """CPU threads of a prediction, of a checkpoint."""


@contextlib.contextmanager
def open_policy(where: PolicyAt) -> Iterator[tuple[LivePolicy, Contract]]:
    """The policy and what it was trained for. Raises DeployError, RobotError, PolicyError."""
    if bool(where.checkpoint) == bool(where.server):
        raise DeployError("give either checkpoint=FOLDER or server=HOST:PORT")
    if where.checkpoint:
        folder = find_checkpoint(Path(where.checkpoint))  # a wrong path is said at once
        policy: LivePolicy = PolicyChild(serve_command(folder, where.threads, where.device)).start()
    else:
        policy = _address(where).connect()
    with contextlib.closing(policy):
        yield policy, Contract.from_json(dict(policy.contract))


def _address(where: PolicyAt) -> PolicyAddress:
    host, _, port = where.server.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise DeployError(f"server={where.server!r} is no host:port")
    if not where.token_file:
        raise DeployError("server=... needs token_file=FILE with the token that the server was given")
    trust = None
    if where.certificate:
        trust = Trust(ca=Path(where.certificate)) if Path(where.certificate).is_file() else Trust(where.certificate)
    return PolicyAddress(int(port), read_token(Path(where.token_file)), host, trust)


def check_first(chunk: ActionChunk, observation: Observation, limits: Limits, contract: Contract) -> None:
    """What a policy asks for first must be near where the arm is: degrees for radians, or joints in another order, are not.

    Raises DeployError.
    """
    arm = limits.arm
    if chunk.qpos.shape != (contract.chunk, len(arm.joints)) or chunk.gripper.shape != (contract.chunk, arm.gripper):
        raise DeployError(
            f"the policy answers with joints {chunk.qpos.shape} and gripper {chunk.gripper.shape}, not {contract.chunk} actions"
        )
    if not (np.isfinite(chunk.qpos).all() and np.isfinite(chunk.gripper).all()):
        raise DeployError("the policy's first answer is not finite; its weights, or its statistics, are broken")
    beyond = np.maximum(arm.lower - chunk.qpos, chunk.qpos - arm.upper).max(axis=0)
    if beyond.max() > 0.5:
        joint = int(beyond.argmax())
        asked = chunk.qpos[:, joint]
        hint = "; are these degrees?" if np.abs(asked).max() > 2 * np.pi else ""
        name, low, high = arm.joints[joint].name, arm.lower[joint], arm.upper[joint]
        raise DeployError(
            f"the policy asks {name} for {asked.min():.2f} to {asked.max():.2f} rad, it can go from {low:.2f} to {high:.2f}{hint}"
        )
    away = np.abs(chunk.qpos[0] - observation.qpos)
    if away.max() > limits.jump:
        joint = int(away.argmax())
        raise DeployError(
            f"the policy wants {arm.joints[joint].name} {away[joint]:.2f} rad from where it is, at once; more than {limits.jump} rad is no "
            "motion that it learnt: another arm, another order of joints, or another home pose"
        )
