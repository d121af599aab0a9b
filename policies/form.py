"""The forms in which a picture and its mask reach the network: a table, one line a form."""

from __future__ import annotations

from dataclasses import dataclass

from policies.attnpool import AttentionPool
from policies.clspool import ClsPool
from policies.config import Pooling
from policies.detpool import DetPool
from policies.maskedpool import MaskedPool
from policies.meanpool import MeanPool
from policies.patches import Keep


@dataclass(frozen=True)
class Form:
    """What is computed of a picture, and how that becomes one vector."""

    keep: Keep
    """Patches that are computed, and that training caches."""
    pool: type[DetPool | MaskedPool | MeanPool | ClsPool | AttentionPool] | None
    """Turns their tokens into the vector; None: no transformer makes tokens, convolutions see the picture whole."""
    outlined: bool = False
    """Whether what the mask says by itself may join the vector."""
    shaped: bool = False
    """Whether the mask tells the object's shape: then pictures of one colour can be learned from too."""
    channel: bool = False
    """Whether the mask is a fourth channel while all pixels stay as they are."""


FORMS = {
    Pooling.det: Form(Keep.OBJECT, DetPool, outlined=True, shaped=True),
    Pooling.det_masked: Form(Keep.ALL, MaskedPool, outlined=True, shaped=True),
    Pooling.box: Form(Keep.BOX, DetPool, outlined=True),
    Pooling.crop: Form(Keep.CROP, DetPool, outlined=True),
    Pooling.channel: Form(Keep.ALL, MeanPool, shaped=True, channel=True),
    Pooling.mean: Form(Keep.ALL, MeanPool),
    Pooling.cls: Form(Keep.ALL, ClsPool),
    Pooling.attention: Form(Keep.ALL, AttentionPool),
    Pooling.keypoints: Form(Keep.ALL, None),
    Pooling.keypoints_channel: Form(Keep.ALL, None, shaped=True, channel=True),
}
