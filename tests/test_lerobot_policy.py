"""Cezanne's policy from LeRobot's side: found as a plug-in, trained by its loop, one folder for both, the same actions from either."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from distribution import pretend_installed

pytest.importorskip("lerobot")
pytest.importorskip("datasets")

from lerobot.configs import FeatureType, PolicyFeature, PreTrainedConfig
from lerobot.configs.default import DatasetConfig
from lerobot.configs.train import TrainPipelineConfig
from lerobot.datasets.lerobot_dataset import LeRobotDataset, LeRobotDatasetMetadata
from lerobot.optim import AdamWConfig
from lerobot.policies.factory import get_policy_class, make_policy, make_pre_post_processors
from lerobot.scripts import lerobot_train
from policy_world import CAMERAS, tiny_observation, tiny_policy, tiny_train, write_dataset

from episodes.dataset import open_dataset
from episodes.lerobot_export import export
from hardware.api import Observation
from lerobot_policy_cezanne import CezanneConfig, CezanneGraspConfig, CezanneSchedule
from lerobot_policy_cezanne.modeling_cezanne import CezannePolicy
from lerobot_policy_cezanne.recorded import open_recorded
from policies.config import Actions, EncoderConfig, PolicyConfig, Pooling
from policies.errors import PolicyError
from policies.model_policy import ModelPolicy, load_policy
from policies.network import Batch
from policies.sampler import measure_stats
from policies.train import open_sampler
from policies.train import run as train

FOLDER = Path(__file__).resolve().parents[1] / "lerobot_policy_cezanne"


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "ours", toys=3, per_toy=2)


@pytest.fixture(scope="module")
def exported(ours: Path) -> Path:
    return export(open_dataset(ours), ours.parent / "lerobot", videos=False)


def policy_for(root: Path, **settings: Any) -> CezannePolicy:
    """A new policy for a data set, as LeRobot makes it."""
    torch.manual_seed(0)
    settings = {"policy": tiny_policy(), "device": "cpu", **settings}
    made = make_policy(CezanneConfig(**settings), ds_meta=LeRobotDatasetMetadata("local/tiny", root=root))
    assert isinstance(made, CezannePolicy)
    return made


def loaded(root: Path, policy: CezannePolicy, frames: list[int]) -> dict[str, Any]:
    """A batch as LeRobot's data set and pipeline give it."""
    config = policy.config
    fps = 20
    keys = ["observation.state", *(f"observation.images.{camera}" for camera in CAMERAS)] if config.observation_delta_indices else []
    deltas = {key: [i / fps for i in config.observation_delta_indices or []] for key in keys}
    data = LeRobotDataset("local/tiny", root=root, delta_timestamps={**deltas, "action": [i / fps for i in config.action_delta_indices]})
    before, _ = make_pre_post_processors(config)
    return before(torch.utils.data.default_collate([data[i] for i in frames]))


def given(observation: Observation) -> dict[str, torch.Tensor]:
    """An observation as LeRobot's environments give it."""
    state = np.concatenate([observation.qpos, observation.gripper]).astype(np.float32)
    found = {"observation.state": torch.from_numpy(state)[None]}
    for camera in CAMERAS:
        found[f"observation.images.{camera}"] = torch.from_numpy(observation.images[camera]).permute(2, 0, 1)[None].float() / 255
        found[f"observation.mask.{camera}"] = torch.from_numpy(observation.masks[camera])[None].float()
    return found


def same_actions(policy: CezannePolicy, mine: Any, steps: int = 5) -> None:
    """Both are asked at the same moments and give the same actions, bit for bit."""
    before, after = make_pre_post_processors(policy.config)
    rng = np.random.default_rng(3)
    policy.eval()
    policy.reset()
    mine.reset("")
    for _ in range(steps):
        seen = tiny_observation(rng)
        chunk = mine.predict(seen)
        for t in range(policy.config.policy.execute):
            action = after(policy.select_action(before(given(seen))))
            np.testing.assert_array_equal(action[0].double().numpy(), np.concatenate([chunk.qpos[t], chunk.gripper[t]]))


def test_lerobot_finds_the_distribution_and_all_that_belongs_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lerobot.envs import EnvConfig
    from lerobot.optim import LRSchedulerConfig
    from lerobot.utils.import_utils import register_third_party_plugins

    pretend_installed(FOLDER, tmp_path, monkeypatch)
    for registry, kind in ((PreTrainedConfig, "cezanne"), (EnvConfig, "cezanne_grasp"), (LRSchedulerConfig, "cezanne")):
        monkeypatch.delitem(registry._choice_registry, kind)
    register_third_party_plugins()
    assert get_policy_class("cezanne").__name__ == "CezannePolicy"
    assert EnvConfig.get_choice_class("cezanne_grasp").__name__ == "CezanneGraspConfig"
    assert LRSchedulerConfig.get_choice_class("cezanne").__name__ == "CezanneSchedule"


def test_everything_but_the_pictures_is_read_as_our_own_data_set_says_it(ours: Path, exported: Path, tmp_path: Path) -> None:
    recorded, sampler = (
        open_recorded(exported),
        open_sampler(tiny_train(ours, tmp_path, frame_stride=1, holdout=0.0), open_dataset(ours))[0],
    )
    mine, theirs = recorded.table, sampler.cache.table
    for name in ("proprio", "actions", "labelled", "grasp", "first", "last", "frame"):
        np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name), err_msg=name)
    start = 0
    for episode in open_dataset(ours):
        seen = recorded.seen(np.arange(start, start + len(episode)))
        for v, camera in enumerate(CAMERAS):
            np.testing.assert_array_equal(seen[:, v], episode.masks[camera])
        start += len(episode)
    for actions in Actions:
        stats, wanted = recorded.stats(tiny_policy(actions=actions)), measure_stats(sampler, actions)
        for name, value in vars(wanted).items():
            np.testing.assert_array_equal(getattr(stats, name), value, err_msg=name)


@pytest.mark.parametrize("history", [1, 3])
@pytest.mark.parametrize("pooling", [Pooling.det, Pooling.channel])
def test_a_batch_of_lerobots_is_the_batch_of_our_own_training(
    ours: Path, exported: Path, tmp_path: Path, history: int, pooling: Pooling
) -> None:
    """In evaluation nothing is drawn: every number must be the same, at the borders of episodes and after a sabotage too."""
    network = tiny_policy(history=history, encoder=EncoderConfig(pooling=pooling, patch=8, dim=16, layers=2, heads=2, cap=12))
    policy = policy_for(exported, policy=network).eval()
    sampler, _ = open_sampler(tiny_train(ours, tmp_path, policy=network, frame_stride=1, holdout=0.0), open_dataset(ours))
    frames = [0, 1, 3, 9, 10, 12, 13, 14, 17, 19, 25, 59]
    theirs, mine = sampler.gather(np.array(frames)), policy._batch(loaded(exported, policy, frames))
    for name in ("proprio", "targets", "weight", "grasp", "grasp_known"):
        torch.testing.assert_close(getattr(mine, name), getattr(theirs, name), rtol=0, atol=0, msg=name)
    for name in ("pixels", "mask", "index", "camera", "lengths", "silhouette"):
        torch.testing.assert_close(getattr(mine.patches, name), getattr(theirs.patches, name), rtol=0, atol=0, msg=name)


def test_training_augments_and_repeats_itself_by_torchs_seed(exported: Path) -> None:
    policy = policy_for(exported).train()
    batch = loaded(exported, policy, [0, 5, 12, 33])
    drawn: list[Batch] = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(policy._batch(batch))
    assert torch.equal(drawn[0].proprio, drawn[1].proprio)
    assert torch.equal(drawn[0].patches.index, drawn[1].patches.index)
    assert not torch.equal(drawn[0].proprio, drawn[2].proprio)
    assert drawn[0].jitter is not None
    assert drawn[1].jitter is not None
    assert torch.equal(drawn[0].jitter.gain, drawn[1].jitter.gain)


def test_the_average_follows_and_the_loss_falls(exported: Path) -> None:
    policy = policy_for(exported).train()
    optimizer = AdamWConfig(lr=3e-3).build(policy.get_optim_params())
    batch, losses = loaded(exported, policy, list(range(0, 60, 3))), []
    begun = {name: weight.clone() for name, weight in policy.average.named_parameters()}
    for _ in range(20):
        loss, said = policy(batch)
        loss.backward()
        assert all(weight.grad is None for weight in policy.average.parameters())
        optimizer.step()
        optimizer.zero_grad()
        policy.update()
        losses.append(said["action_loss"])
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    for (name, mean), weight in zip(policy.average.named_parameters(), policy.network.parameters(), strict=True):
        if weight.requires_grad and not torch.equal(weight, begun[name]):
            assert not torch.equal(mean, begun[name]), name
    policy.eval()
    assert policy(batch)[0].item() < np.mean(losses[:5])


def test_the_schedule_is_that_of_our_own_training() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([{"params": [weight], "lr": 1e-3}], lr=1.0)
    schedule, rates = CezanneSchedule(num_warmup_steps=20).build(optimizer, 100), []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    spent = np.arange(100) / 100
    warm = np.minimum(1, np.maximum(np.arange(1, 101) / 21, spent / 0.1))
    np.testing.assert_allclose(rates, 1e-3 * warm * (0.505 + 0.495 * np.cos(np.pi * spent)))


@pytest.mark.parametrize("history", [1, 3])
def test_one_folder_gives_the_same_actions_to_both(exported: Path, tmp_path: Path, history: int) -> None:
    policy = policy_for(exported, policy=tiny_policy(history=history))
    with torch.no_grad():
        for weight in policy.average.parameters():
            weight.add_(0.01 * torch.randn_like(weight))
    policy.updates += 7
    policy.save_pretrained(tmp_path / "saved")
    assert not list(tmp_path.glob(".*")), "nothing is left beside it"
    same_actions(policy, load_policy(tmp_path / "saved"))
    again = CezannePolicy.from_pretrained(tmp_path / "saved")
    for name, value in policy.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    same_actions(again, load_policy(tmp_path / "saved"))
    again.save_pretrained(tmp_path / "again")
    for file in sorted((tmp_path / "saved").iterdir()):
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes(), file.name


def test_what_cezanne_trained_acts_and_goes_on_in_lerobot(ours: Path, exported: Path, tmp_path: Path) -> None:
    train(tiny_train(ours, tmp_path / "run", steps=3))
    policy = CezannePolicy.from_pretrained(tmp_path / "run")
    same_actions(policy, load_policy(tmp_path / "run"))
    assert policy.config.policy == tiny_policy()
    policy.save_pretrained(tmp_path / "saved")
    same_actions(policy, load_policy(tmp_path / "saved"))
    tuned = CezannePolicy.from_pretrained(tmp_path / "saved", dataset_meta=LeRobotDatasetMetadata("local/tiny", root=exported)).train()
    assert tuned(loaded(exported, tuned, [1, 2]))[0].requires_grad


def test_execute_may_be_changed_in_use_and_the_network_may_not(exported: Path, tmp_path: Path) -> None:
    policy_for(exported).save_pretrained(tmp_path)
    quick = PreTrainedConfig.from_pretrained(tmp_path, cli_overrides=["--policy.execute=1"])
    assert isinstance(quick, CezanneConfig)
    assert CezannePolicy.from_pretrained(tmp_path, config=quick).config.n_action_steps == 1
    wide = PreTrainedConfig.from_pretrained(tmp_path, cli_overrides=["--policy.width=64"])
    assert isinstance(wide, CezanneConfig)
    with pytest.raises(PolicyError, match="trained with another width; only execute and flow_steps"):
        CezannePolicy.from_pretrained(tmp_path, config=wide)


def test_what_does_not_fit_is_refused_by_name(exported: Path, tmp_path: Path) -> None:
    policy = policy_for(exported).eval()
    seen = given(tiny_observation(np.random.default_rng(0)))
    with pytest.raises(PolicyError, match=r"no observation\.mask\.wrist; it has observation\.state"):
        policy.select_action({key: value for key, value in seen.items() if key != "observation.mask.wrist"})
    with pytest.raises(PolicyError, match=r"observation\.images\.side has shape \(3, 16, 32\), the policy was trained with \(3, 32, 32\)"):
        policy.select_action({**seen, "observation.images.side": torch.zeros(1, 3, 16, 32)})
    policy.save_pretrained(tmp_path)
    config = CezanneConfig(policy=tiny_policy(), device="cpu", output_features={"action": PolicyFeature(FeatureType.ACTION, (17,))})
    with pytest.raises(PolicyError, match=r"action has shape \(17,\), the policy was trained with \(4,\)"):
        CezannePolicy.from_pretrained(tmp_path, config=config)
    with pytest.raises(PolicyError, match="a new policy needs a data set"):
        CezannePolicy(CezanneConfig(device="cpu"))
    with pytest.raises(PolicyError, match="normalization_mapping must be IDENTITY"):
        CezanneConfig(device="cpu", normalization_mapping={"STATE": "MEAN_STD"})  # type: ignore[dict-item]


def test_a_hostile_folder_is_refused(exported: Path, tmp_path: Path) -> None:
    policy = policy_for(exported)
    policy.save_pretrained(tmp_path / "good")
    for pipeline in make_pre_post_processors(policy.config):
        pipeline.save_pretrained(tmp_path / "good")
    CezannePolicy.from_pretrained(tmp_path / "good")

    def spoilt(name: str, change: Any) -> Path:
        folder = tmp_path / "bad"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(tmp_path / "good", folder)
        change(folder / name)
        return folder

    def named(step: dict[str, Any]) -> Any:
        return lambda file: file.write_text(json.dumps({"name": "x", "steps": [step]}))

    def poisoned(name: str) -> Any:
        from safetensors.torch import load_file, save_file

        def change(file: Path) -> None:
            tensors = load_file(file)
            tensors[name][...] = float("nan")
            save_file(tensors, file)

        return change

    for name, change, said in (
        ("policy_preprocessor.json", named({"class": "os.path.join"}), "asks for a class by its name"),
        ("policy_postprocessor.json", named({"registry_name": "device_processor", "class": "os.system"}), "asks for a class by its name"),
        ("policy_preprocessor.json", named({"registry_name": "tokenizer_processor"}), "asks for the step 'tokenizer_processor'"),
        ("policy_preprocessor.json", lambda file: file.write_text("{"), "is damaged"),
        ("model.safetensors", lambda file: file.write_bytes(b"\x80\x04pickle"), r"model\.safetensors is damaged"),
        ("model.safetensors", poisoned("trunk.1.weight"), r"model\.safetensors: trunk\.1\.weight holds values that are not finite"),
        ("weights.safetensors", lambda file: file.write_bytes(file.read_bytes()[:-9]), r"weights\.safetensors is damaged"),
        ("stats.json", lambda file: file.unlink(), r"stats\.json is missing"),
        ("config.json", lambda file: file.write_text(file.read_text().replace('"cezanne"', '"act"')), r"config\.json"),
    ):
        with pytest.raises(PolicyError, match=said):
            CezannePolicy.from_pretrained(spoilt(name, change))


def test_a_data_set_that_cannot_be_learnt_from_is_refused(exported: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    def changed(change: Any) -> Path:
        folder = tmp_path / "bad"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(exported, folder)
        change(folder)
        return folder

    def without(column: str) -> Any:
        def change(folder: Path) -> None:
            info = folder / "meta" / "info.json"
            said = json.loads(info.read_text())
            del said["features"][column]
            info.write_text(json.dumps(said))

        return change

    def infinite(folder: Path) -> None:
        file = folder / "data" / "chunk-000" / "file-000.parquet"
        table = pq.read_table(file)
        actions = np.array(table.column("action").to_pylist(), np.float32)
        actions[12, 1] = np.inf
        k = table.schema.get_field_index("action")
        import pyarrow as pa

        values = pa.FixedSizeListArray.from_arrays(pa.array(actions.ravel()), actions.shape[1])
        pq.write_table(table.set_column(k, table.schema.field(k), values.cast(table.schema.field(k).type)), file)

    with pytest.raises(PolicyError, match=r"no feature mask\.wrist"):
        open_recorded(changed(without("mask.wrist")))
    with pytest.raises(PolicyError, match=r"action of episode 1 holds values that are not finite"):
        open_recorded(changed(infinite))

    def foreign(folder: Path) -> None:
        without("mask.wrist")(folder)
        without("mask.side")(folder)
        (folder / "meta" / "cezanne.json").unlink()

    with pytest.raises(PolicyError, match=r"no camera has a feature mask\.CAMERA"):
        open_recorded(changed(foreign))
    recorded = open_recorded(changed(lambda folder: (folder / "meta" / "cezanne.json").unlink()))  # none of our exports: no grasp, no views
    assert recorded.contract.cameras == CAMERAS
    assert (len(recorded.contract.joints), recorded.contract.gripper, recorded.contract.views) == (3, 1, {})


def trained(exported: Path, out: Path, steps: int, **settings: Any) -> Path:
    """Through LeRobot's own loop; the folder that it writes."""
    config = TrainPipelineConfig(
        dataset=DatasetConfig("local/tiny", root=str(exported)),
        policy=CezanneConfig(policy=tiny_policy(), device="cpu", warmup=2),
        output_dir=out,
        steps=steps,
        batch_size=8,
        num_workers=0,
        save_freq=2,
        log_freq=1,
        env_eval_freq=0,
        **settings,
    )
    lerobot_train.train(config)
    return out / "checkpoints" / "last" / "pretrained_model"


def test_lerobots_loop_trains_what_cezanne_reads(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["lerobot-train"])
    folder = trained(exported, tmp_path / "run", steps=4)
    mine = load_policy(folder)
    assert isinstance(mine, ModelPolicy)
    assert mine.contract.embodiment == "stick"
    assert mine.fingerprint["versions"]["lerobot"]  # type: ignore[index]
    policy = CezannePolicy.from_pretrained(folder)
    assert float(policy.updates) == 4
    same_actions(policy, mine)
    before, _ = make_pre_post_processors(
        policy.config, pretrained_path=str(folder), preprocessor_overrides={"device_processor": {"device": "cpu"}}
    )
    seen = given(tiny_observation(np.random.default_rng(1)))
    assert torch.equal(before(dict(seen))["observation.mask.side"], seen["observation.mask.side"])


@pytest.mark.slow
def test_lerobots_loop_goes_on_where_it_was_stopped(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["lerobot-train"])
    whole = CezannePolicy.from_pretrained(trained(exported, tmp_path / "whole", steps=4))
    first = tmp_path / "whole" / "checkpoints"
    half = next(path for path in sorted(first.iterdir()) if int(path.name) == 2) / "pretrained_model"
    out = tmp_path / "resumed"
    monkeypatch.setattr(
        sys, "argv", ["lerobot-train", f"--config_path={half / 'train_config.json'}", "--resume=true", f"--output_dir={out}"]
    )
    lerobot_train.train()  # pyright: ignore[reportCallIssue]  the command line fills it
    resumed, before = (CezannePolicy.from_pretrained(path) for path in (out / "checkpoints" / "last" / "pretrained_model", half))
    assert (float(before.updates), float(resumed.updates)) == (2, 4)

    # not to the last bit: after a stop LeRobot shuffles anew
    def distance(one: CezannePolicy, other: CezannePolicy) -> float:
        return sum(
            float((value - other.state_dict()[name]).abs().sum()) for name, value in one.state_dict().items() if "updates" not in name
        )

    assert 0 < distance(resumed, whole) < distance(before, whole) * 2
    assert distance(resumed, before) > 0


def test_the_command_line_names_what_cezanne_train_names() -> None:
    import draccus

    args = ["--policy.encoder.pooling=mean", "--policy.history=2", "--policy.execute=4", "--patches=6", "--device=cpu"]
    parsed = draccus.parse(CezanneConfig, args=args)
    assert parsed.policy == PolicyConfig(encoder=EncoderConfig(pooling=Pooling.mean), history=2, execute=4)
    assert parsed.patches == 6
    assert parsed.observation_delta_indices == [-4, 0]
    assert parsed.n_obs_steps == 2


def test_the_environment_says_its_features() -> None:
    pytest.importorskip("mujoco")
    found = CezanneGraspConfig(size=64)
    assert found.features["action"].shape == found.features["agent_pos"].shape == (8,)
    assert found.features_map["pixels/wrist"] == "observation.images.wrist"
    assert found.features["pixels/wrist"].shape == (64, 64, 3)


@pytest.mark.slow
def test_lerobot_tries_it_in_our_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """lerobot-eval, whole: a policy with random weights lifts nothing, twice the same."""
    from lerobot.scripts import lerobot_eval

    from policies.checkpoint import Checkpoint, save_checkpoint
    from policies.contract import Contract
    from policies.stats import Stats
    from sim.robots import find_robot

    config, arm = tiny_policy(), find_robot("panda")
    contract = Contract(CAMERAS, (64, 64), arm.joints, 1, "panda", 0.05).with_policy(config.chunk, config.execute, config.history)
    ones = {"proprio": np.ones(8, np.float32), "action": np.full((config.chunk, 8), 0.01, np.float32), "grasp": np.ones(5, np.float32)}
    stats = Stats(**{f"{name}_{what}": value if what == "std" else 0 * value for name, value in ones.items() for what in ("mean", "std")})
    checkpoint = Checkpoint(config, contract, stats, {})
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "ours", checkpoint, checkpoint.network().state_dict(), {})
    policy = CezannePolicy.from_pretrained(tmp_path / "ours")
    policy.save_pretrained(tmp_path / "policy")
    for pipeline in make_pre_post_processors(policy.config):
        pipeline.save_pretrained(tmp_path / "policy")
    args = [f"--policy.path={tmp_path / 'policy'}", "--env.type=cezanne_grasp", "--env.size=64", "--env.objects=toys:7:2"]
    args += ["--env.episode_length=12", "--eval.n_episodes=2", "--eval.batch_size=1", f"--output_dir={tmp_path / 'out'}"]
    monkeypatch.setattr(sys, "argv", ["lerobot-eval", *args])
    lerobot_eval.eval_main()  # pyright: ignore[reportCallIssue]  the command line fills it
    said = json.loads((tmp_path / "out" / "eval_info.json").read_text())
    assert said["overall"]["pc_success"] == 0.0
    assert said["overall"]["n_episodes"] == 2
