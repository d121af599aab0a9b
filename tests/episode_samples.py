"""Made-up episodes for tests: small, of any size, the same for the same seed."""

from __future__ import annotations

import numpy as np

from episodes import CameraInfo, DatasetInfo, Episode

SIZES = {"side": (32, 32), "wrist": (24, 29)}
"""Height and width by camera; 29 is no multiple of 8."""

JOINTS = tuple(f"joint{i}" for i in range(1, 8))


def make_info(sizes: dict[str, tuple[int, int]] = SIZES, **changes) -> DatasetInfo:
    """The contract that `make_episode` follows."""
    cameras = {name: CameraInfo(h, w, 40.0, np.diag([50.0, 50.0, 1.0]), np.eye(4)) for name, (h, w) in sizes.items()}
    return DatasetInfo(**{"fps": 20.0, "robot": "panda", "joints": JOINTS, "cameras": cameras, "fingerprint": {"mujoco": "3"}} | changes)


def make_episode(seed: int = 0, steps: int = 7, sizes: dict[str, tuple[int, int]] = SIZES, **changes) -> Episode:
    """An episode of noise."""
    rng = np.random.default_rng(seed)

    def vectors(n: int) -> np.ndarray:
        return rng.normal(size=(steps, n)).astype(np.float32)

    fields = {
        "images": {name: rng.integers(0, 256, (steps, *size, 3), np.uint8) for name, size in sizes.items()},
        "masks": {name: rng.random((steps, *size)) < 0.3 for name, size in sizes.items()},
        "qpos": vectors(7),
        "gripper": vectors(1),
        "actions": vectors(8),
        "sent": vectors(8),
        "labelled": rng.random(steps) < 0.9,
        "state": rng.normal(size=(steps + 1, 32)),
        "instruction": "pick up the object",
        "dt": 0.05,
        "success": True,
        "provenance": {"seed": seed, "toy": 3, "pi": 0.1 + 0.2},
    }
    return Episode(**fields | changes)


def same(a: Episode, b: Episode) -> bool:
    """Whether two episodes are equal to the last bit."""
    arrays = all(
        np.array_equal(getattr(a, k), getattr(b, k)) and getattr(a, k).dtype == getattr(b, k).dtype
        for k in ("qpos", "gripper", "actions", "sent", "labelled", "state")
    )
    pictures = a.images.keys() == b.images.keys() and all(
        np.array_equal(a.images[k], b.images[k]) and np.array_equal(a.masks[k], b.masks[k]) for k in a.images
    )
    return arrays and pictures and all(getattr(a, k) == getattr(b, k) for k in ("instruction", "dt", "success", "provenance"))
