"""Data made wider, and judged: offline augmentations of episodes, online ones of batches, diagnostics of mixtures."""

from augment.augmentation import Augmentation, Chain, recorded
from augment.errors import AugmentError

__all__ = ["AugmentError", "Augmentation", "Chain", "recorded"]
