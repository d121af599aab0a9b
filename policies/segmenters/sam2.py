"""SAM 2 on a stream of frames, through `transformers`: the memory of the past is bounded, and a lost target is asked for again."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch

from hardware.api import SegmenterError
from hardware.camera import Frame
from hardware.segmenter import Box, Click, Prompt, Segmentation, Words
from policies.segmenters.palette import Palette, bins
from policies.segmenters.prompt import FindBox, box_around, check_frame, check_prompt, inside, nothing
from policies.segmenters.weights import pretrained, transformers
from policies.segmenters.words import Detector

SAM2, EDGETAM = "facebook/sam2.1-hiera-tiny", "yonigozlan/EdgeTAM-hf"
_CLASSES = {"sam2_video": "Sam2VideoModel", "edgetam_video": "EdgeTamVideoModel"}
"""Classes of `transformers` by the model type that a checkpoint's config.json names."""
_TARGET = 1
"""The session's number of the one object that is followed."""
_LEAST = 4
"""Pixels of a target that is seen."""
_ALIKE = 0.5
"""Likeness of its colours to the last good ones', at least, of what is found again."""


@dataclass(frozen=True)
class Sam2:
    """SAM 2 or EdgeTAM, prompted by a click, a box, or words through a detector. `start` loads the models; tracks share them."""

    model: str = SAM2
    """A name on the hub or a folder; `EDGETAM` is small enough for CPUs."""
    device: str = "cpu"
    lost: float = 0.4
    """Confidence below which the target is lost."""
    every: int = 15
    """Frames of a lost target between two tries to find it again."""
    detector: FindBox = field(default_factory=Detector)
    """For words."""

    def __post_init__(self) -> None:
        if not 0 < self.lost < 1 or self.every < 1:
            raise SegmenterError(f"lost={self.lost} lies between 0 and 1, every={self.every} is 1 or more")

    def start(self, camera: str, frame: Frame, prompt: Prompt) -> Sam2Track:
        """Finds the target and follows it. Raises SegmenterError: no package, no weights, nothing at the prompt."""
        check_frame(camera, frame)
        check_prompt(camera, frame, prompt)
        words = prompt.text if isinstance(prompt, Words) else None
        if isinstance(prompt, Words):
            prompt = self.detector(frame.image, prompt.text)
        elif isinstance(prompt, Box):
            prompt = inside(prompt, frame.image.shape[1], frame.image.shape[0]) or prompt
        track = Sam2Track(self, camera, *self._parts, words)
        if not track.begin(frame.image, prompt):
            raise SegmenterError(
                f"camera {camera!r}: the model sees no object at {prompt}; point at the middle of the target or draw a box"
            )
        return track

    @cached_property
    def _parts(self) -> tuple[Any, Any]:
        """Processor and network."""
        library = transformers("segmenter=sam2")
        kind = pretrained(library.AutoConfig, self.model, "segmenter=sam2").model_type
        if kind not in _CLASSES:
            raise SegmenterError(f"segmenter=sam2: {self.model!r} is a {kind!r} model; it takes {' or '.join(_CLASSES)}")
        processor = pretrained(library.Sam2VideoProcessor, self.model, "segmenter=sam2")
        model = pretrained(getattr(library, _CLASSES[kind]), self.model, "segmenter=sam2")
        return processor, model.to(self.device).eval()


class Sam2Track:
    """One target in one camera: a session of the model that forgets what the model no longer looks at."""

    def __init__(self, config: Sam2, camera: str, processor: Any, model: Any, words: str | None) -> None:
        self._config, self._camera, self._words = config, camera, words
        self._processor, self._model = processor, model
        self._keep = max(int(model.config.num_maskmem), int(model.config.max_object_pointers_in_encoder))
        self._size = (0, 0)
        self._lost = 0

    def begin(self, image: np.ndarray, prompt: Click | Box) -> bool:
        """Starts the memory anew with the target at `prompt` in a picture (H, W, 3) u8; whether there is one."""
        self._size = (image.shape[0], image.shape[1])
        self._session = self._processor.init_video_session(inference_device=self._config.device, dtype=self._model.dtype)
        self._now = 0
        seen = self._look(image, prompt)
        if seen.confidence < self._config.lost:
            return False
        self._remember(seen, image)
        return True

    def update(self, frame: Frame) -> Segmentation:
        """The target in the next frame. Raises SegmenterError for a frame of another size."""
        check_frame(self._camera, frame, self._size)
        self._now += 1
        seen = self._look(frame.image)
        if seen.confidence < self._config.lost:
            self._lost += 1
            again = self._again(frame.image) if self._lost % self._config.every == 1 or self._config.every == 1 else None
            if again is None:
                return nothing(self._size)
            seen = again
        self._remember(seen, frame.image)
        return seen

    def _again(self, image: np.ndarray) -> Segmentation | None:
        """Asks for a lost target where it was last, then by its words; None where what comes is not like it."""
        outputs = self._session.output_dict_per_obj[0]["non_cond_frame_outputs"]
        before = dict(outputs[self._now])
        seen = self._look(image, box_around(self._mask))
        if self._like(seen, image):
            return seen
        outputs[self._now] = before  # what it took for the target is not to be remembered
        if self._words is None or self._lost == 1:  # a detector takes long: not for a target that is hidden for a moment
            return None
        session, now = self._session, self._now
        try:
            box = self._config.detector(image, self._words)
        except SegmenterError:
            return None
        self._session = self._processor.init_video_session(inference_device=self._config.device, dtype=self._model.dtype)
        self._now = 0
        seen = self._look(image, box)
        if self._like(seen, image):
            return seen
        self._session, self._now = session, now
        return None

    def _look(self, image: np.ndarray, prompt: Click | Box | None = None) -> Segmentation:
        """What the model takes for the target in the present frame, given its memory and a prompt."""
        pixels = self._processor(images=image, return_tensors="pt").pixel_values[0].to(self._config.device, self._model.dtype)  # (3, S, S)
        if prompt is not None:
            if isinstance(prompt, Click):
                asked = {"input_points": [[[[prompt.x, prompt.y]]]], "input_labels": [[[1]]]}
            else:
                asked = {"input_boxes": [[[prompt.x0, prompt.y0, prompt.x1, prompt.y1]]]}
            self._processor.add_inputs_to_inference_session(self._session, self._now, _TARGET, original_size=self._size, **asked)
        with torch.inference_mode():
            out = self._model(self._session, frame_idx=self._now, frame=pixels)
        logits = self._processor.post_process_masks([out.pred_masks], [list(self._size)], binarize=False)[0].float().cpu().numpy()
        self._forget()
        return judged(logits.reshape(self._size), float(out.object_score_logits.float().max()))

    def _forget(self) -> None:
        """Drops what the model will not look at again: its memory goes back a fixed number of frames, and to the first one."""
        session, oldest = self._session, self._now - self._keep
        session.processed_frames = {self._now: session.processed_frames[self._now]}
        outputs = session.output_dict_per_obj[0]
        for kept in (outputs["non_cond_frame_outputs"], session.frames_tracked_per_obj[0]):
            for number in [n for n in kept if n < oldest]:
                del kept[number]
        for group in outputs.values():
            for output in group.values():
                output.pop("high_res_masks", None)
        session.point_inputs_per_obj[0].clear()

    def _like(self, seen: Segmentation, image: np.ndarray) -> bool:
        """Whether what was found is of the target's size and colours."""
        if seen.confidence < self._config.lost:
            return False
        if not self._mask.sum() / 3 < seen.mask.sum() < self._mask.sum() * 3:
            return False
        return Palette.of(bins(image)[seen.mask]).likeness(self._palette) > _ALIKE

    def _remember(self, seen: Segmentation, image: np.ndarray) -> None:
        self._mask, self._palette, self._lost = seen.mask, Palette.of(bins(image)[seen.mask]), 0


def judged(logits: np.ndarray, presence: float) -> Segmentation:
    """The mask of logits (H, W); confidence: that there is an object, by its logit `presence`, times how sharp the mask's rim is."""
    mask = logits > 0
    if mask.sum() < _LEAST:
        return nothing((logits.shape[0], logits.shape[1]))
    sharp = (logits > 1).sum() / max((logits > -1).sum(), 1)
    return Segmentation(mask, float(sharp / (1 + np.exp(-presence))))
