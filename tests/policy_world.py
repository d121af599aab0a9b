"""A tiny world for tests of training: a bright square whose place says where to go."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from episodes import CameraInfo, DatasetInfo, DatasetWriter, Episode
from hardware.api import Observation
from policies.config import EncoderConfig, PolicyConfig, TrainConfig

SIZE = 32
CAMERAS = ("side", "wrist")
JOINTS = 3


def tiny_policy(**changes: object) -> PolicyConfig:
    encoder = EncoderConfig(patch=8, dim=16, layers=2, heads=2, cap=12)
    return PolicyConfig(**{"encoder": encoder, "width": 32, "blocks": 1, "chunk": 4, "execute": 2} | changes)  # pyright: ignore[reportArgumentType]


def tiny_train(data: Path, out: Path, **changes: object) -> TrainConfig:
    settings = {
        "policy": tiny_policy(),
        "steps": 12,
        "batch": 8,
        "threads": 1,
        "progress": False,
        "log_every": 1,
        "holdout": 0.3,
        "warmup": 2,
    }
    return TrainConfig(data=str(data), out=str(out), **settings | changes)  # pyright: ignore[reportArgumentType]


def tiny_observation(rng: np.random.Generator) -> Observation:
    masks = {c: np.zeros((SIZE, SIZE), bool) for c in CAMERAS}
    for mask in masks.values():
        x, y = rng.integers(0, SIZE - 8, 2)
        mask[y : y + 8, x : x + 8] = True
    images = {c: rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8) for c in CAMERAS}
    return Observation(images, masks, rng.normal(size=JOINTS), np.ones(1), 0.0)


def tiny_episode(toy: int, seed: int, sabotage: bool = False, steps: int = 10) -> Episode:
    """The arm moves to where the square is; step t's qpos and actions tell t, so that tests can see what was taken."""
    rng = np.random.default_rng([toy, seed])
    x, y = rng.integers(0, SIZE - 8, 2)
    masks = np.zeros((steps, SIZE, SIZE), bool)
    masks[:, y : y + 8, x : x + 8] = True
    masks[steps - 1] = False
    images = np.where(masks[..., None], np.uint8(220), np.uint8(40)) * np.ones(3, np.uint8)
    goal = np.array([x / SIZE, y / SIZE, toy / 10])
    t = np.arange(steps)[:, None] / steps
    actions = np.column_stack([goal * np.minimum(t + 1 / steps, 1), t < 0.5]).astype(np.float32)
    labelled = np.ones(steps, bool)
    if sabotage:
        labelled[3:5] = False
    return Episode(
        images=dict.fromkeys(CAMERAS, images),
        masks=dict.fromkeys(CAMERAS, masks),
        qpos=(goal * t).astype(np.float32),
        gripper=(t < 0.5).astype(np.float32),
        actions=actions,
        sent=actions,
        labelled=labelled,
        state=np.zeros((steps + 1, 1)),
        instruction="pick up the object",
        dt=0.05,
        success=True,
        provenance={"toy": toy, "grasp": {"pos": [*goal.tolist()], "yaw": 0.3}},
    )


def tiny_info() -> DatasetInfo:
    camera = CameraInfo(SIZE, SIZE, 45.0, np.eye(3), np.eye(4))
    return DatasetInfo(fps=20, robot="stick", joints=tuple(f"joint{i}" for i in range(JOINTS)), cameras=dict.fromkeys(CAMERAS, camera))


def write_dataset(path: Path, toys: int = 4, per_toy: int = 3) -> Path:
    writer = DatasetWriter(path, tiny_info())
    for toy in range(toys):
        writer.write(f"{toy:06d}", [tiny_episode(toy, k, sabotage=k == 1) for k in range(per_toy)])
    return path
