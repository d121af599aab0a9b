"""From words to a box: open-vocabulary detectors of the `transformers` package, OWLv2 and Grounding DINO."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from hardware.api import SegmenterError
from hardware.segmenter import Box
from policies.segmenters.prompt import inside
from policies.segmenters.weights import pretrained, transformers

OWL, DINO = "google/owlv2-base-patch16-ensemble", "IDEA-Research/grounding-dino-tiny"


@dataclass(frozen=True)
class Detector:
    """Finds what words name; a call loads the model where that was not done."""

    model: str = OWL
    """An OWLv2 or Grounding DINO model: a name on the hub or a folder."""
    device: str = "cpu"
    threshold: float = 0.15
    """Least score of a box, [0, 1]."""
    rival: float = 0.8
    """A second box elsewhere with more than this share of the best one's score makes the words ambiguous."""

    def __call__(self, image: np.ndarray, text: str) -> Box:
        """The box of what `text` names in a picture (H, W, 3) u8. Raises SegmenterError: nothing, or more than one thing."""
        height, width = image.shape[:2]
        processor, model = self._parts
        words = text.strip().lower().rstrip(".")
        asked = f"{words}." if model.config.model_type.endswith("grounding-dino") else [[f"a photo of {words}"]]
        inputs = processor(images=image, text=asked, return_tensors="pt").to(self.device)
        with torch.inference_mode():
            outputs = model(**inputs)
        found = processor.post_process_grounded_object_detection(outputs, threshold=self.threshold, target_sizes=[(height, width)])[0]
        return choose(found["boxes"].cpu().numpy(), found["scores"].cpu().numpy(), (width, height), text, self.rival)

    @cached_property
    def _parts(self) -> tuple[Any, Any]:
        """Processor and network."""
        library = transformers("a target in words")
        processor = pretrained(library.AutoProcessor, self.model, "a target in words")
        model = pretrained(library.AutoModelForZeroShotObjectDetection, self.model, "a target in words")
        return processor, model.to(self.device).eval()


def choose(boxes: np.ndarray, scores: np.ndarray, size: tuple[int, int], text: str, rival: float) -> Box:
    """The best of some boxes (n, 4) x0 y0 x1 y1 [px] in a picture of this width and height. Raises SegmenterError: none, or two."""
    order = np.argsort(-scores)
    cuts = [inside(Box(*(round(float(v)) for v in boxes[k])), *size) for k in order]
    found = [(cut, float(scores[k])) for cut, k in zip(cuts, order, strict=True) if cut is not None]
    if not found:
        raise SegmenterError(f"target={text!r}: nothing in the picture is called so; other words, a click or a box would do")
    best, score = found[0]
    for other, its in found[1:]:
        if its > rival * score and overlap(best, other) < 0.3:
            raise SegmenterError(
                f"target={text!r} fits two things, {score:.2f} around x, y = {centre(best)} and {its:.2f} around {centre(other)}: "
                "say which, or click on one"
            )
    return best


def overlap(one: Box, other: Box) -> float:
    """Shared area of two boxes by that of the smaller one, [0, 1]."""
    wide = min(one.x1, other.x1) - max(one.x0, other.x0)
    high = min(one.y1, other.y1) - max(one.y0, other.y0)
    smaller = min((box.x1 - box.x0) * (box.y1 - box.y0) for box in (one, other))
    return max(wide, 0) * max(high, 0) / max(smaller, 1)


def centre(box: Box) -> tuple[int, int]:
    """Of a box, x and y [px]."""
    return (box.x0 + box.x1) // 2, (box.y0 + box.y1) // 2
