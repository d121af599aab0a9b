"""LeRobot's policies as baselines: trained, kept, opened and tried as ours are. Never asks a network for anything."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from policy_world import CAMERAS, SIZE, tiny_episode, tiny_info, tiny_observation, write_dataset
from safetensors.torch import load_file, save_file

pytest.importorskip("diffusers", reason="LeRobot's policies are not installed")
pytest.importorskip("datasets", reason="LeRobot's datasets are not installed")

from conf import UsageError
from conf.compose import compose, groups
from episodes import DatasetWriter, open_dataset
from eval.bench import execute_of
from eval.evaluate import contract_of
from eval.fingerprint import checkpoint_digest
from eval.sources import training_seeds
from eval.trial import Rules
from hardware.api import Observation
from policies import PolicyError
from policies.config import TrainConfig
from policies.contract import Contract
from policies.peers.grey import GREY, Greyed, greyed
from policies.peers.samples import Batches

ACT = {"dim_model": 16, "n_heads": 2, "dim_feedforward": 16, "n_encoder_layers": 1, "n_vae_encoder_layers": 1, "latent_dim": 4}
DIFFUSION = {"down_dims": [8, 16], "n_groups": 4, "num_inference_steps": 2, "drop_n_last_frames": 2, "spatial_softmax_num_keypoints": 4}
TINY = {
    "act": ["policy=lerobot:act_cpu", "lerobot.chunk_size=4", "lerobot.n_action_steps=2", *(f"lerobot.{k}={v}" for k, v in ACT.items())],
    "diffusion": [
        "policy=lerobot:diffusion_cpu",
        "lerobot.horizon=8",
        "lerobot.n_action_steps=2",
        *(f"lerobot.{k}={v}".replace(" ", "") for k, v in DIFFUSION.items()),
    ],
}


def configured(peer: str, data: Path, out: Path, *more: str) -> TrainConfig:
    """As `cezanne train` reads it."""
    last = {word.split("=")[0]: word for word in [*TINY[peer], f"data={data}", f"out={out}", "batch=2", "steps=2", "threads=1", *more]}
    made = OmegaConf.to_object(compose("train", TrainConfig, [*last.values(), "progress=false", "log_every=1", "checkpoint_seconds=0"]))
    assert isinstance(made, TrainConfig)
    return made


def train(cfg: TrainConfig) -> dict[str, Any]:
    from policies.train import run

    return run(cfg)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("peers") / "toys", toys=2, per_toy=2)


def test_the_issues_spelling_chooses_a_baseline_and_keeps_what_is_said_otherwise() -> None:
    known = groups()["policy"]
    assert {"lerobot:act", "lerobot:diffusion", "lerobot:act_cpu", "lerobot:diffusion_cpu", "det"} <= set(known)
    words = ["policy=lerobot:act", "lerobot.dim_model=64", "lerobot.chunk_size=8", "lerobot.pretrained_backbone_weights=null", "batch=3"]
    cfg: Any = OmegaConf.to_object(compose("train", TrainConfig, words))
    assert (cfg.peer, cfg.batch) == ("act", 3)
    assert cfg.lerobot == {"chunk_size": 8, "n_action_steps": 8, "dim_model": 64, "pretrained_backbone_weights": None}
    with pytest.raises(UsageError, match="did you mean 'lerobot:act'"):
        compose("train", TrainConfig, ["policy=lerobot:atc"])
    ours: Any = OmegaConf.to_object(compose("train", TrainConfig, ["policy=det"]))
    assert (ours.peer, ours.lerobot, ours.masked) == ("", {}, False)


def test_what_belongs_to_baselines_is_refused_without_one() -> None:
    for wrong in ({"masked": True}, {"lerobot": {"dim_model": 8}}, {"peer": "vqbet"}):
        with pytest.raises(PolicyError, match="act"):
            TrainConfig(**wrong)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("first", [0, 3, 7, 19])
def test_batches_of_a_run_that_is_continued_are_those_of_one_that_was_not(first: int) -> None:
    frames = np.arange(100, 117)
    whole = list(Batches(frames, 5, 4, 0, 20))
    assert list(Batches(frames, 5, 4, first, 20)) == whole[first:]
    flat = [frame for batch in whole for frame in batch]
    for epoch in range(len(flat) // 17):
        assert sorted(flat[17 * epoch : 17 * (epoch + 1)]) == frames.tolist()
    assert list(Batches(frames, 5, 5, 0, 20)) != whole


def test_grey_hides_everything_but_the_object_and_changes_nothing_else() -> None:
    episode = tiny_episode(1, 2)
    (made,) = Greyed([episode])  # pyright: ignore[reportArgumentType]
    for name, images in episode.images.items():
        mask = episode.masks[name]
        np.testing.assert_array_equal(made.images[name][mask], images[mask])
        assert (made.images[name][~mask] == GREY).all()
    np.testing.assert_array_equal(made.actions, episode.actions)
    np.testing.assert_array_equal(greyed(episode.images["side"][0], episode.masks["side"][0]), made.images["side"][0])


def test_settings_that_will_not_do_are_refused_by_name(data: Path, tmp_path: Path) -> None:
    for words, said in (
        (["lerobot.dim_modle=16"], "did you mean 'dim_model'"),
        (["lerobot.device=cuda"], "decided by device="),
        (["lerobot.temporal_ensemble_coeff=0.01"], "cezanne eval ensemble="),
        (["lerobot.n_action_steps=9"], "refuses its settings"),
        (["lerobot.dim_model=wide"], "dim_model"),
        (["lr=0.1"], "does not go by lr="),
        (["policy.width=64"], "does not go by policy="),
        (["minutes=1"], "does not go by minutes="),
    ):
        with pytest.raises(PolicyError, match=said):
            train(configured("act", data, tmp_path / "run", *words))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_sample_is_what_lerobot_would_load_but_for_answers_that_are_none(data: Path, tmp_path: Path) -> None:
    from policies.peers.exported import open_exported
    from policies.peers.kind import ACTION, PICTURE, STATE, config_of
    from policies.peers.samples import Samples

    dataset = open_dataset(data)
    contract = Contract.of_dataset(dataset.info)
    config = config_of("diffusion", configured("diffusion", data, tmp_path).lerobot, contract, "cpu")
    exported = open_exported(tmp_path, dataset, masked=False)
    samples = Samples(exported, config, execute=2)
    seen, done = [-2, 0], list(range(-1, 7))
    for frame in (0, 1, 5, 9, 10, 12, 25, 39):
        mine, episode, t = samples[frame], dataset[frame // 10], frame % 10
        at = np.clip([t + d for d in seen], 0, 9)
        state = np.concatenate([episode.qpos, episode.gripper], 1)
        np.testing.assert_allclose(mine[STATE], state[at], atol=1e-6)
        for camera in CAMERAS:
            expected = episode.images[camera][at].transpose(0, 3, 1, 2) / 255
            np.testing.assert_allclose(mine[PICTURE + camera], expected, atol=1e-6)
        steps = np.array([t + d for d in done])
        there = np.clip(steps, 0, 9)
        np.testing.assert_allclose(mine[ACTION], episode.actions[there], atol=1e-6)
        after_sabotage = [not episode.labelled[t : k + 1].all() if k >= t else not episode.labelled[k] for k in there]
        np.testing.assert_array_equal(mine["action_is_pad"], (steps != there) | after_sabotage)
    assert not {int(f) for f in samples.frames} & {10 * k + t for k in range(4) for t in (8, 9)}, "the last two are left out"
    assert not {int(f) for f in samples.frames} & {13, 14, 33, 34}, "what was sabotaged is nothing to begin at"
    assert open_exported(tmp_path, dataset, masked=False).root == exported.root, "exported once"


@pytest.mark.slow
@pytest.mark.parametrize("peer", ["act", "diffusion"])
def test_a_baseline_is_trained_kept_opened_and_continued(peer: str, data: Path, tmp_path: Path) -> None:
    from policies import load_policy

    summary = train(configured(peer, data, tmp_path / "whole", "steps=4", "masked=true"))
    assert (summary["steps"], summary["peer"], summary["masked"]) == (4, f"lerobot:{peer}", True)
    path = Path(summary["checkpoint"])
    assert not [file.name for file in path.rglob("*") if file.suffix not in (".json", ".safetensors", "")], "nothing that holds code"

    # stopped after two steps and continued, it is the same to the last bit
    train(configured(peer, data, tmp_path / "parts", "steps=4", "masked=true", "checkpoint_steps=2"))
    half = tmp_path / "half"
    with pytest.MonkeyPatch.context() as patch:
        from policies.peers import train as training

        update, seen = training._Run.save, []

        def stop(self: Any, out: Path) -> None:
            update(self, out)
            seen.append(self.step)
            raise PolicyError("stopped")

        patch.setattr(training._Run, "save", stop)
        with pytest.raises(PolicyError, match="stopped"):
            train(configured(peer, data, half, "steps=4", "masked=true", "checkpoint_steps=2"))
    assert seen[0] == 2
    again = train(configured(peer, data, half, "steps=4", "masked=true", "resume=true"))
    weights, others = (load_file(Path(s["checkpoint"]) / "model.safetensors") for s in (summary, again))
    assert all(torch.equal(weight, others[name]) for name, weight in weights.items())
    with pytest.raises(PolicyError, match="another lerobot"):
        train(configured(peer, data, half, "steps=5", "masked=true", "resume=true", "lerobot.optimizer_lr=0.5"))

    # what eval asks of a checkpoint
    contract = contract_of(path)
    contract.check(Contract.of_dataset(open_dataset(data).info))
    assert (contract.cameras, contract.size, contract.execute) == (CAMERAS, (SIZE, SIZE), 2)
    assert contract.history == (1 if peer == "act" else 2)
    assert training_seeds(path) == set()
    policy = load_policy(tmp_path / "whole")
    assert execute_of(policy, Rules()) == 2

    # one answer to one sequence of observations, whatever was asked before and whatever torch's own dice say
    rng = np.random.default_rng(0)
    shown = [tiny_observation(rng) for _ in range(3)]
    answers = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        policy.reset("pick up the object")
        answers.append([policy.predict(observation) for observation in shown])
        torch.manual_seed(seed)
        expected = torch.rand(1)
        torch.manual_seed(seed)
        policy.predict(shown[0])
        assert torch.equal(torch.rand(1), expected), "the dice are left as they were"
    for one, other in zip(*answers, strict=True):
        np.testing.assert_array_equal(one.qpos, other.qpos)
        assert one.qpos.shape == (contract.chunk, 3)
        assert one.gripper.shape == (contract.chunk, 1)
        assert np.isfinite(one.qpos).all()
        assert ((one.gripper >= 0) & (one.gripper <= 1)).all()

    # it sees nothing but the object
    def painted(observation: Observation, where: bool) -> Observation:
        images = {c: np.where(m[..., None] == where, np.uint8(9), observation.images[c]) for c, m in observation.masks.items()}
        return replace(observation, images=images)

    def answer(observation: Observation) -> np.ndarray:
        policy.reset("")
        return policy.predict(observation).qpos

    np.testing.assert_array_equal(answer(shown[0]), answer(painted(shown[0], where=False)))
    if peer == "act":  # after four steps, diffusion's answers are all at the ends of their range, whatever it sees
        assert not np.array_equal(answer(shown[0]), answer(painted(shown[0], where=True)))
    with pytest.raises(PolicyError, match="camera 'wrist'"):
        policy.predict(replace(shown[0], images={"side": shown[0].images["side"]}))

    _damaged(path, tmp_path)


def _damaged(path: Path, tmp_path: Path) -> None:
    """A checkpoint that is not what it says is refused by name."""
    from policies import load_policy

    before = checkpoint_digest(path)

    def spoilt(name: str, change: Any) -> Path:
        copy = tmp_path / "spoilt"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(path, copy)
        change(copy / name)
        return copy

    def tensors(change: Any) -> Any:
        def do(file: Path) -> None:
            held = load_file(file)
            change(held)
            save_file(held, file)

        return do

    def table(**changes: Any) -> Any:
        return lambda file: file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    weights, stats = "model.safetensors", "policy_preprocessor_step_3_normalizer_processor.safetensors"
    name = sorted(load_file(path / weights))[0]
    for file, change, said in (
        (weights, tensors(lambda held: held.update({name: held[name] * np.nan})), "not finite"),
        (weights, tensors(lambda held: held.pop(name)), "does not fit"),
        (weights, lambda f: f.write_bytes(f.read_bytes()[:1000]), "damaged"),
        (stats, tensors(lambda held: held.update({"action.mean": torch.zeros(9)})), "action.mean has shape"),
        (stats, tensors(lambda held: held.update({"action.std": held["action.std"] * np.inf})), "not finite"),
        ("peer.json", table(peer="pi0"), "no baseline"),
        ("peer.json", table(format=99), "format 99"),
        ("contract.json", table(execute=1), "chunk, execute, history"),
        ("weights.pkl", lambda f: f.write_bytes(b"\x80\x04."), "weights.pkl does not belong"),
    ):
        with pytest.raises(PolicyError, match=said):
            load_policy(spoilt(file, change))
    copy = spoilt(weights, tensors(lambda held: held.update({name: held[name] + 1})))
    assert checkpoint_digest(copy) != before == checkpoint_digest(spoilt("fingerprint.json", table(more=1)))


@pytest.mark.slow
def test_a_baseline_is_tried_by_the_suites_with_any_number_of_workers(tmp_path: Path) -> None:
    from assets.toys import ToySet
    from eval.evaluate import evaluate
    from eval.suite import make_suite
    from sim.robots import find_robot
    from sim.scene import SceneConfig
    from sim.simrobot import SimRobot

    toys = ToySet.sample(5, 1).toys
    with SimRobot(SceneConfig(toys[0], size=SIZE)) as robot:
        names, dt, joints = [camera.name for camera in robot.config.cameras], robot.dt, tuple(robot.arm.joints)
        arm = robot.arm
    camera = tiny_info().cameras["side"]
    info = replace(tiny_info(), robot=arm.name, joints=joints, fps=round(1 / dt), cameras=dict.fromkeys(names, camera))
    assert find_robot(info.robot).joints == joints
    writer = DatasetWriter(tmp_path / "data", info)
    one = tiny_episode(0, 0)
    wide = np.tile(one.actions[:, :1] * 0, (1, len(joints)))
    images, masks = dict.fromkeys(names, one.images["side"]), dict.fromkeys(names, one.masks["side"])
    actions = np.concatenate([wide, one.actions[:, -1:]], 1)
    writer.write("000000", [replace(one, images=images, masks=masks, qpos=wide, actions=actions, sent=actions)])
    summary = train(configured("act", tmp_path / "data", tmp_path / "run", "steps=1"))
    suite = make_suite("toys", toys, trials=1, seed=0, source="toys:5:1")
    rules = Rules(hold=0.1, horizon=0.4)
    rows = [evaluate(summary["checkpoint"], suite, rules, workers=workers).rows for workers in (0, 1)]
    assert len(rows[0]) == 1
    assert rows[0][0].success is not None
    one, other = (replace(row[0], latency_ms=None) for row in rows)
    assert one == other
