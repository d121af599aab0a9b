"""Training learns, stops and goes on as if it had never stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from policy_world import tiny_observation, tiny_policy, tiny_train, write_dataset

from episodes import open_dataset
from policies import PolicyError, load_policy
from policies.checkpoint import find_checkpoint
from policies.config import Head, Pooling, Precision, TrainConfig
from policies.network import Batch
from policies.runlog import read_log
from policies.train import open_sampler, run
from policies.trainer import Trainer

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "toys")


def losses(out: Path) -> list[tuple[float, float]]:
    return [(entry["step"], entry["loss"]) for entry in read_log(out / "log.jsonl") if "loss" in entry]


def test_training_learns_and_its_policy_acts(data: Path, tmp_path: Path) -> None:
    summary = run(tiny_train(data, tmp_path / "run", steps=150, lr=5e-3, colour=False, log_every=10, validate_every=50))
    assert summary["steps"] == 150
    assert summary["samples_per_second"] > 0
    assert {"seconds", "checkpoint", "validation_loss"} <= summary.keys()
    found = losses(tmp_path / "run")
    assert found[-1][1] < 0.5 * found[0][1]
    policy = load_policy(summary["checkpoint"])
    np.testing.assert_array_equal(policy.contract.joints, ("joint0", "joint1", "joint2"))
    assert np.isfinite(policy.predict(tiny_observation(np.random.default_rng(0))).qpos).all()
    assert load_policy(tmp_path / "run").fingerprint == policy.fingerprint


@pytest.mark.parametrize("history", [1, 3])
@pytest.mark.parametrize("pooling", list(Pooling))
def test_every_form_trains_and_acts_also_where_nothing_is_seen(data: Path, tmp_path: Path, pooling: Pooling, history: int) -> None:
    encoder = replace(tiny_policy().encoder, pooling=pooling)
    cfg = tiny_train(data, tmp_path / "run", steps=3, precision=Precision.float32, policy=tiny_policy(encoder=encoder, history=history))
    summary = run(cfg)
    assert np.isfinite(summary["validation_loss"])
    policy = load_policy(summary["checkpoint"])
    seen = tiny_observation(np.random.default_rng(0))
    unseen = replace(seen, masks={c: np.zeros_like(m) for c, m in seen.masks.items()})
    policy.reset("pick up the object")
    for observation in (seen, unseen, seen):
        assert np.isfinite(policy.predict(observation).qpos).all()


@pytest.mark.parametrize("pooling", list(Pooling))
def test_patches_are_dropped_in_training_only_where_they_are_the_objects(data: Path, tmp_path: Path, pooling: Pooling) -> None:
    cfg = tiny_train(data, tmp_path, patches=2, policy=tiny_policy(encoder=replace(tiny_policy().encoder, pooling=pooling)))
    sampler, _ = open_sampler(cfg, open_dataset(data))
    drawn, in_use = sampler.draw(0, 0, 32).patches.lengths, sampler.gather(sampler.train_frames).patches.lengths
    assert int(drawn.max()) == {Pooling.det: 2, Pooling.box: 2, Pooling.crop: 64}.get(pooling, 16)
    assert int(in_use.max()) == {Pooling.det: 4, Pooling.box: 4, Pooling.crop: 64}.get(pooling, 16)


@pytest.mark.parametrize("pooling", list(Pooling))
def test_no_picture_is_wiped_out_where_nothing_else_tells_the_shape(data: Path, tmp_path: Path, pooling: Pooling) -> None:
    cfg = tiny_train(data, tmp_path, policy=tiny_policy(encoder=replace(tiny_policy().encoder, pooling=pooling)))
    jitter = open_sampler(cfg, open_dataset(data))[0].draw(0, 0, 64).jitter
    assert jitter is not None
    wiped = (jitter.gain == 0).all(1).float().mean().item()
    assert (0.2 < wiped < 0.5) if pooling in (Pooling.det, Pooling.det_masked, Pooling.channel, Pooling.keypoints_channel) else wiped == 0


@pytest.mark.parametrize("head", list(Head))
def test_stopping_and_going_on_gives_the_same_losses(data: Path, tmp_path: Path, head: Head) -> None:
    policy = tiny_policy(history=2, head=head)
    cfg = tiny_train(data, tmp_path / "whole", precision=Precision.bfloat16, policy=policy, log_every=2)
    whole = run(cfg)
    assert run(replace(cfg, resume=True))["steps"] == 12  # a finished run stays as it is
    parts = replace(cfg, out=str(tmp_path / "parts"))
    from policies import trainer

    steps = trainer.Trainer.train_step

    def interrupted(self: trainer.Trainer) -> None:
        if self.step == 5:
            raise KeyboardInterrupt
        steps(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer.Trainer, "train_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(parts)
    assert [p.name for p in (tmp_path / "parts" / "checkpoints").iterdir()] == ["00000005"]
    again = run(replace(parts, resume=True))
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    assert again["validation_loss"] == whole["validation_loss"]
    weights = [(Path(x["checkpoint"]) / "weights.safetensors").read_bytes() for x in (whole, again)]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_a_killed_run_goes_on_as_if_never_killed(data: Path, tmp_path: Path, workers: int) -> None:
    steps = 120
    settings = {"steps": steps, "checkpoint_steps": 4}
    run(tiny_train(data, tmp_path / "whole", **settings))
    killed = tmp_path / "killed"
    code = """
import sys
from policy_world import Path, tiny_train
from policies.train import open_sampler, run
run(tiny_train(Path(sys.argv[1]), Path(sys.argv[2]), steps=120, checkpoint_steps=4, loader_workers=int(sys.argv[3])))
"""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    arguments = [sys.executable, "-c", code, str(data), str(killed), str(workers)]
    process = subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE)
    enough = Random(time.time_ns()).randint(8, 40)
    deadline = time.monotonic() + 120
    while len(losses(killed)) < enough and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    _, said = process.communicate()
    assert process.returncode == -signal.SIGKILL, f"it ended before it could be killed: {said.decode()[-2000:]}"
    assert len(losses(killed)) < steps
    run(tiny_train(data, killed, resume=True, loader_workers=workers, **settings))
    assert losses(killed) == losses(tmp_path / "whole")
    weights = [(tmp_path / name / "checkpoints" / f"{steps:08d}" / "weights.safetensors").read_bytes() for name in ("killed", "whole")]
    assert weights[0] == weights[1]


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C raises, also where a shell started the tests in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_waits_for_the_step_and_a_second_one_does_not(data: Path, tmp_path: Path) -> None:
    cfg = tiny_train(data, tmp_path / "whole", steps=12)
    run(cfg)
    parts = replace(cfg, out=str(tmp_path / "parts"))
    backward = Trainer._backward

    def asked(times: int, at: int) -> Callable[..., Any]:
        def disturbed(self: Trainer, batch: Batch) -> Any:
            for _ in range(times if self.step == at else 0):
                os.kill(os.getpid(), signal.SIGINT)
            return backward(self, batch)

        return disturbed

    for times, at, kept in ((1, 5, 6), (2, 8, 6)):  # of a step that is broken off nothing is kept
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Trainer, "_backward", asked(times, at))
            with pytest.raises(KeyboardInterrupt):
                run(replace(parts, resume=True))
        assert find_checkpoint(tmp_path / "parts").name == f"{kept:08d}"
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    run(replace(parts, resume=True))
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")


def test_a_time_budget_ends_the_run(data: Path, tmp_path: Path) -> None:
    summary = run(tiny_train(data, tmp_path / "run", minutes=0.01, steps=10**9))
    assert 0.5 < summary["seconds"] < 10
    assert summary["steps"] > 1


def test_what_cannot_be_continued_is_refused(data: Path, tmp_path: Path) -> None:
    cfg = tiny_train(data, tmp_path / "run", steps=2)
    run(cfg)
    with pytest.raises(PolicyError, match="already holds a run at step 2; resume=true"):
        run(cfg)
    with pytest.raises(PolicyError, match="was started with another batch"):
        run(replace(cfg, resume=True, batch=4))
    other = write_dataset(tmp_path / "toys", toys=2)
    with pytest.raises(PolicyError, match="other data"):
        run(replace(cfg, resume=True, data=str(other)))


def test_a_patch_that_does_not_fit_leaves_nothing_behind(data: Path, tmp_path: Path) -> None:
    encoder = replace(tiny_policy().encoder, patch=9)
    with pytest.raises(PolicyError, match="patch=9 does not divide"):
        run(tiny_train(data, tmp_path / "run", policy=tiny_policy(encoder=encoder)))
    assert not list((tmp_path / "run").iterdir())


@pytest.mark.parametrize(
    "change",
    [
        "steps=0",
        "batch=-1",
        "lr=0",
        "ema=1",
        "holdout=0.9",
        "before_closing=2",
        "device=tpu",
        "policy.execute=17",
        "policy.encoder.heads=3",
    ],
)
def test_impossible_values_are_refused_by_name(change: str) -> None:
    merged = OmegaConf.merge(OmegaConf.structured(TrainConfig), OmegaConf.from_dotlist([change]))
    name = change.split("=")[0].split(".")[-1]
    with pytest.raises(Exception, match=name):
        OmegaConf.to_object(merged)


@pytest.mark.parametrize("choice", sorted(p.stem for p in (ROOT / "conf" / "policy").glob("*.yaml")))
def test_every_choice_of_conf_makes_a_config(choice: str) -> None:
    merged = OmegaConf.merge(OmegaConf.structured(TrainConfig), {"policy": OmegaConf.load(ROOT / "conf" / "policy" / f"{choice}.yaml")})
    config = OmegaConf.to_object(merged)
    assert isinstance(config, TrainConfig)
    named = choice.replace("paper_", "det_")  # the paper's network, which pools so
    assert named.startswith(config.policy.encoder.pooling.name)
    json.dumps(config.policy.encoder.pooling.value)
