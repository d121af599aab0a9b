"""Which encoder a configuration asks for."""

from __future__ import annotations

from policies.backbone import PretrainedEncoder
from policies.config import EncoderConfig
from policies.encoder import Encoder
from policies.form import FORMS
from policies.keypoints import KeypointEncoder


def open_encoder(config: EncoderConfig, cameras: int, size: tuple[int, int]) -> Encoder | KeypointEncoder:
    """The encoder of a configuration, with fresh weights."""
    if config.backbone:
        return PretrainedEncoder(config, cameras, size)
    return (Encoder if FORMS[config.pooling].pool else KeypointEncoder)(config, cameras, size)
