"""Distances that nobody measured, estimated from pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from augment.errors import AugmentError

Estimator = Callable[[np.ndarray], np.ndarray]
"""Pictures (T, H, W, 3) u8 to distances along the camera's axis, (T, H, W) float32 [m]."""


def open_estimator(folder: str | Path) -> Estimator:
    """A model for metric depth in the format of `transformers`, from a folder of this machine; nothing is downloaded, no code of it run.

    Only models that give metres will do (such as Depth Anything V2 Metric): others know no scale. Raises AugmentError where the folder or
    the package is not there, or the model cannot be read.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise AugmentError(f"{folder} holds no model (config.json); viewpoint.depth_model is a folder that was saved by transformers")
    try:
        from transformers import pipeline  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise AugmentError("viewpoint.depth_model needs the package transformers, which is not installed") from None
    from PIL import Image

    try:
        model = pipeline(
            "depth-estimation", model=str(folder), trust_remote_code=False, local_files_only=True, model_kwargs={"use_safetensors": True}
        )
    except (OSError, ValueError, KeyError) as error:
        raise AugmentError(f"{folder} is no depth model that transformers can read: {error}") from error

    def estimate(pictures: np.ndarray) -> np.ndarray:
        height, width = pictures.shape[1:3]
        seen = [np.asarray(found["predicted_depth"], np.float32) for found in model([Image.fromarray(p) for p in pictures])]
        return np.stack([np.asarray(Image.fromarray(d.squeeze()).resize((width, height), Image.Resampling.BILINEAR)) for d in seen])

    return estimate
