"""Training tries its policy on the way, shows what it sees, and tells trackers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from policy_world import SIZE, tiny_policy, tiny_train, write_dataset

from episodes import open_dataset
from policies import PolicyError, load_policy
from policies.batch_picture import GREY, OUTLINE, draw_batch
from policies.config import Masking, Tracker, TrainConfig
from policies.patches import Keep
from policies.runlog import read_log
from policies.train import open_sampler, run


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "toys")


def scripted(*rates: float) -> tuple[Callable[[TrainConfig, Path], dict[str, float]], list[str]]:
    """Trials that succeed as said, and which checkpoints they were of."""
    left, seen = list(rates), []

    def trial(cfg: TrainConfig, checkpoint: Path) -> dict[str, float]:
        load_policy(checkpoint)
        seen.append(checkpoint.name)
        rate = left.pop(0)
        return {"rollout_success": rate, "rollout_low": rate - 0.1, "rollout_high": rate + 0.1}

    return trial, seen


def test_the_best_of_the_tried_is_kept_and_said_but_not_used(data: Path, tmp_path: Path) -> None:
    trial, seen = scripted(0.2, 0.7, 0.5)
    cfg = tiny_train(data, tmp_path / "run", rollout_every=4)
    summary = run(cfg, trial)
    assert seen == ["00000004", "00000008", "00000012"]
    assert summary["best"] == {
        "step": 8,
        "rollout_success": 0.7,
        "rollout_low": pytest.approx(0.6),
        "rollout_high": pytest.approx(0.8),
        "checkpoint": str(tmp_path / "run" / "best"),
    }
    assert summary["checkpoint"].endswith("00000012")
    assert load_policy(tmp_path / "run" / "best").fingerprint == load_policy(tmp_path / "run").fingerprint
    assert not (tmp_path / "run" / "best" / "train_state.safetensors").exists()
    plain = run(tiny_train(data, tmp_path / "plain"))
    weights = [(Path(made["checkpoint"]) / "weights.safetensors").read_bytes() for made in (summary, plain)]
    assert weights[0] == weights[1], "trials changed the training"
    assert "best" not in plain


def test_trials_that_a_kill_prevented_are_made_when_the_run_goes_on(data: Path, tmp_path: Path) -> None:
    cfg = tiny_train(data, tmp_path / "run", rollout_every=4)

    def killed(cfg: TrainConfig, checkpoint: Path) -> dict[str, float]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(cfg, killed)
    trial, seen = scripted(0.1, 0.2, 0.3)
    assert run(replace(cfg, resume=True), trial)["best"]["step"] == 12
    assert seen == ["00000004", "00000008", "00000012"]
    trial, seen = scripted()
    run(replace(cfg, resume=True), trial)
    assert seen == []


def test_trials_without_anybody_to_make_them_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="rollout_every=4, but nothing here can try a policy"):
        run(tiny_train(data, tmp_path / "run", rollout_every=4))
    assert not (tmp_path / "run").exists()


def test_a_run_leaves_a_picture_of_its_first_batch(data: Path, tmp_path: Path) -> None:
    run(tiny_train(data, tmp_path / "run", steps=1))
    image = Image.open(tmp_path / "run" / "batch.jpg")
    assert image.width > 8 * SIZE
    assert image.height > 4 * SIZE  # two cameras, as they were and as the network sees them


@pytest.mark.parametrize("blank", [False, True])
def test_the_picture_shows_patches_at_their_places_and_the_masks_border(data: Path, tmp_path: Path, blank: bool) -> None:
    cfg = tiny_train(data, tmp_path, patches=0, policy=tiny_policy(encoder=replace(tiny_policy().encoder, masking=Masking.patch)))
    sampler, _ = open_sampler(cfg, open_dataset(data))
    batch = sampler.gather(sampler.train_frames[:1])
    tile = draw_batch(batch, (SIZE, SIZE), 8, Keep.OBJECT, blank=blank, scale=1)[:SIZE]
    shown = draw_batch(batch, (SIZE, SIZE), 8, Keep.OBJECT, blank=blank, scale=1)[SIZE + 2 : 2 * SIZE + 2]
    episode = open_dataset(data)[0]
    assert episode.provenance["toy"] == 0
    mask, image = episode.masks["side"][0], episode.images["side"][0]
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, left = rows[0], columns[0]
    assert (tile[top, left] == OUTLINE).all() or top == 0 or left == 0
    inside = np.s_[top + 2 : top + 6, left + 2 : left + 6]
    np.testing.assert_array_equal(tile[inside], image[inside])
    np.testing.assert_array_equal(shown[inside], image[inside])  # no colours were drawn
    kept = np.kron(mask.reshape(4, 8, 4, 8).any((1, 3)), np.ones((8, 8), bool))
    assert (tile[~kept] == GREY).all()
    if (kept & ~mask).any():
        np.testing.assert_array_equal(tile[kept & ~mask], image[kept & ~mask])
        assert (shown[kept & ~mask] == GREY).all() == blank


def test_weights_and_biases_goes_on_under_its_id(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    calls: list[dict[str, Any]] = []

    class Run:
        def define_metric(self, name: str, step_metric: str) -> None:
            calls.append({"metric": step_metric})

        def log(self, values: dict[str, Any]) -> None:
            calls.append(values)

        def finish(self) -> None:
            calls.append({"finished": True})

    def init(**how: Any) -> Run:
        calls.append(how)
        return Run()

    monkeypatch.setattr(wandb, "init", init)
    cfg = tiny_train(data, tmp_path / "run", steps=3, tracker=Tracker.wandb)
    run(cfg)
    run(replace(cfg, resume=True))
    first, second = [call for call in calls if "resume" in call]
    assert first["id"] == second["id"] == (tmp_path / "run" / "wandb.id").read_text().strip()
    assert (first["name"], first["resume"]) == ("run", "allow")
    assert first["config"]["train"]["batch"] == 8
    logged = [(call["step"], call["loss"]) for call in calls if "loss" in call]
    assert logged == [(entry["step"], entry["loss"]) for entry in read_log(tmp_path / "run" / "log.jsonl") if "loss" in entry]
    assert sum("batch" in call for call in calls) == 1
    assert calls[-1] == {"finished": True}
    json.dumps(first["config"])


def test_a_tracker_that_is_not_installed_is_named(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(PolicyError, match=r"pip install 'cezanne\[wandb\]'"):
        run(tiny_train(data, tmp_path / "run", tracker=Tracker.wandb))
