"""Save, load, predict is equal; whatever is wrong with a checkpoint or an observation is said in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from policy_world import CAMERAS, JOINTS, SIZE, tiny_observation, tiny_policy
from safetensors.torch import load_file, save_file

from hardware.api import ActionError, Observation
from policies import PolicyError, load_policy
from policies.checkpoint import Checkpoint, save_checkpoint
from policies.config import Actions, Pooling
from policies.contract import Contract
from policies.head import Regression
from policies.model_policy import ModelPolicy
from policies.network import PolicyNetwork
from policies.stats import Stats

CONTRACT = Contract(CAMERAS, (SIZE, SIZE), ("a", "b", "c"), 1, "stick", 0.05, chunk=4, execute=2, history=1)


def stats() -> Stats:
    rng = np.random.default_rng(0)
    spread = lambda *shape: rng.uniform(0.5, 1.5, shape).astype(np.float32)  # noqa: E731
    return Stats(spread(4) / 2, spread(4) / 2, spread(4, 4) / 2, spread(4, 4) / 2, spread(5), spread(5))


def made(**changes: object) -> tuple[Checkpoint, PolicyNetwork]:
    torch.manual_seed(0)
    config = tiny_policy(**changes)
    checkpoint = Checkpoint(config, CONTRACT.with_policy(config.chunk, config.execute, config.history), stats(), {"data": "none"})
    return checkpoint, checkpoint.network()


def policy(**changes: object) -> ModelPolicy:
    checkpoint, network = made(**changes)
    return ModelPolicy(network, checkpoint.contract, {})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    checkpoint, network = made()
    save_checkpoint(tmp_path / "checkpoint", checkpoint, network.state_dict(), {"progress": torch.zeros(1)})
    return tmp_path / "checkpoint"


@pytest.mark.parametrize("pooling", list(Pooling))
@pytest.mark.parametrize("history", [1, 3])
def test_save_load_predict_is_equal(tmp_path: Path, pooling: Pooling, history: int) -> None:
    encoder = replace(tiny_policy().encoder, pooling=pooling)
    checkpoint, network = made(encoder=encoder, history=history)
    save_checkpoint(tmp_path / "checkpoint", checkpoint, network.state_dict(), {})
    mine, loaded = ModelPolicy(network, checkpoint.contract, {}), load_policy(tmp_path / "checkpoint")
    assert loaded.contract == checkpoint.contract
    rng = np.random.default_rng(0)
    for observation in [tiny_observation(rng) for _ in range(4)]:
        a, b = mine.predict(observation), loaded.predict(observation)
        assert a.qpos.shape == (4, JOINTS)
        assert a.gripper.shape == (4, 1)
        np.testing.assert_array_equal(a.qpos, b.qpos)
        np.testing.assert_array_equal(a.gripper, b.gripper)


def test_reset_forgets_the_history() -> None:
    one = policy(history=3)
    rng = np.random.default_rng(0)
    first, second = tiny_observation(rng), tiny_observation(rng)
    one.reset("")
    fresh = one.predict(second)
    one.reset("")
    one.predict(first)
    later = one.predict(second)
    one.reset("")
    again = one.predict(second)
    assert not np.array_equal(fresh.qpos, later.qpos)
    np.testing.assert_array_equal(fresh.qpos, again.qpos)


@pytest.mark.parametrize("actions", list(Actions))
def test_relative_actions_move_with_the_arm(actions: Actions) -> None:
    checkpoint, network = made(actions=actions)
    views = torch.zeros(1, 1, 2, 16)
    assert isinstance(network.head, Regression)
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.zero_()
        out = network.act(views, torch.full((1, 1, 4), 2.0))[0]
    want = torch.from_numpy(checkpoint.stats.action_mean).clone()
    if actions is Actions.relative:
        want[:, :JOINTS] += 2.0
    torch.testing.assert_close(out, want)


def test_gripper_is_clipped_and_nan_is_left_for_the_rollout_to_refuse() -> None:
    one = policy()
    rng = np.random.default_rng(0)
    assert isinstance(one._network.head, Regression)
    with torch.no_grad():
        one._network.head.bias.view(4, 4)[:, 3] = torch.tensor([50.0, -50.0, float("nan"), 0.0])
    chunk = one.predict(tiny_observation(rng))
    assert chunk.gripper[0] == 1
    assert chunk.gripper[1] == 0
    assert np.isnan(chunk.gripper[2])
    with pytest.raises(ActionError, match="finite"):
        chunk[2]


def without_camera(o: Observation) -> Observation:
    return replace(o, images={"side": o.images["side"]})


def of_other_size(o: Observation) -> Observation:
    return replace(o, images={c: x[:16] for c, x in o.images.items()})


def with_more_joints(o: Observation) -> Observation:
    return replace(o, qpos=np.zeros(7))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_camera, "no picture of camera 'wrist'"),
        (of_other_size, r"shape \(16, 32, 3\), the policy was trained with \(32, 32, 3\)"),
        (with_more_joints, r"qpos has shape \(7,\), the policy was trained with \(3,\)"),
    ],
)
def test_an_observation_that_does_not_fit_is_refused(change: Callable[[Observation], Observation], message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        policy().predict(change(tiny_observation(np.random.default_rng(0))))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cameras": ("side", "top")}, "needs camera 'wrist'; there are 'side', 'top'"),
        ({"size": (64, 64)}, "picture size"),
        ({"joints": ("a", "c", "b")}, "joints"),
        ({"gripper": 2}, "gripper values"),
        ({"embodiment": "ur5e"}, "robot 'stick', here it is 'ur5e'"),
        ({"dt": 0.1}, "control period of 0.05 s, here it is 0.1 s"),
    ],
)
def test_a_contract_that_does_not_fit_is_refused(change: dict[str, object], message: str) -> None:
    CONTRACT.check(replace(CONTRACT, cameras=("top", *reversed(CAMERAS))))  # more cameras, in any order, are no obstacle
    with pytest.raises(PolicyError, match=message):
        CONTRACT.check(replace(CONTRACT, **change))  # pyright: ignore[reportArgumentType]


def edit(path: Path, name: str, change: Callable[[dict], object]) -> None:
    table = json.loads((path / f"{name}.json").read_text())
    change(table)
    (path / f"{name}.json").write_text(json.dumps(table))


def spoil_weights(path: Path, change: Callable[[dict], object]) -> None:
    weights = load_file(path / "weights.safetensors")
    change(weights)
    save_file(weights, path / "weights.safetensors")


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-50])


SPOILT: list[tuple[Callable[[Path], object], str]] = [
    (shutil.rmtree, "there is no checkpoint folder"),
    (lambda p: (p / "config.json").unlink(), "is no checkpoint: it has no config.json"),
    (lambda p: (p / "stats.json").unlink(), "stats.json is missing"),
    (lambda p: (p / "weights.safetensors").unlink(), "weights.safetensors is missing"),
    (lambda p: truncate(p / "weights.safetensors"), "weights.safetensors is damaged"),
    (lambda p: truncate(p / "contract.json"), "contract.json is damaged"),
    (lambda p: (p / "weights.safetensors").write_bytes(b"\x80\x04K\x01."), "weights.safetensors is damaged"),
    (lambda p: edit(p, "config", lambda t: t.update(format=99)), "config.json has format 99"),
    (lambda p: edit(p, "config", lambda t: t["policy"]["encoder"].update(pooling="magic")), "config.json: .*magic"),
    (lambda p: edit(p, "config", lambda t: t["policy"].update(_target_="os.system")), "config.json: .*_target_"),
    (lambda p: edit(p, "config", lambda t: t["policy"].update(width=64)), "has shape"),
    (lambda p: edit(p, "config", lambda t: t["policy"].update(blocks=2)), "does not fit config.json: missing"),
    (lambda p: edit(p, "config", lambda t: t["policy"].update(chunk=5)), "chunk, execute, history"),
    (lambda p: edit(p, "config", lambda t: t["policy"]["encoder"].update(dim=-4)), "dim=-4 must be above 0"),
    (lambda p: edit(p, "contract", lambda t: t["units"].update(qpos="deg")), "units"),
    (lambda p: edit(p, "contract", lambda t: t.pop("joints")), "contract.json: missing or wrong 'joints'"),
    (lambda p: edit(p, "contract", lambda t: t["joints"].pop()), "stats.json: proprio_mean has shape"),
    (lambda p: edit(p, "contract", lambda t: t.update(size=[30, 32])), "patch=8 does not divide"),
    (lambda p: edit(p, "stats", lambda t: t.update(action_std=0)), "action_std has shape"),
    (lambda p: edit(p, "stats", lambda t: t["proprio_std"].__setitem__(0, 0.0)), "spread is not above 0"),
    (lambda p: spoil_weights(p, lambda w: w["head.bias"].fill_(float("nan"))), "head.bias holds values that are not finite"),
    (lambda p: spoil_weights(p, lambda w: w.pop("head.bias")), "missing .*head.bias"),
]


@pytest.mark.parametrize(("spoil", "message"), SPOILT)
def test_a_spoilt_checkpoint_is_refused_in_one_line(path: Path, spoil: Callable[[Path], object], message: str) -> None:
    load_policy(path)
    spoil(path)
    with pytest.raises(PolicyError, match=message) as caught:
        load_policy(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
