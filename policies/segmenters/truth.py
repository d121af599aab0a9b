"""What a simulator knows: the mask that comes with its frames."""

from __future__ import annotations

from dataclasses import dataclass

from hardware.api import SegmenterError
from hardware.camera import Frame
from hardware.segmenter import Prompt, Segmentation
from policies.segmenters.prompt import check_frame, nothing


@dataclass(frozen=True)
class Truth:
    """Hands on what frames of a simulator carry; the prompt is not needed."""

    def start(self, camera: str, frame: Frame, prompt: Prompt) -> TruthTrack:
        """Follows the truth from this frame on. Raises SegmenterError where it carries none, as frames of a physical camera do."""
        check_frame(camera, frame)
        if frame.truth is None:
            raise SegmenterError(
                f"camera {camera!r}: its frames carry no truth, only a simulator's do; segmenter=tabletop or sam2 needs none"
            )
        return TruthTrack(camera, (frame.image.shape[0], frame.image.shape[1]))


@dataclass(frozen=True)
class TruthTrack:
    """The truth of one camera."""

    camera: str
    size: tuple[int, int]
    """Height and width of its frames [px]."""

    def update(self, frame: Frame) -> Segmentation:
        """The frame's truth; lost where it is empty or missing. Raises SegmenterError for a frame of another size."""
        check_frame(self.camera, frame, self.size)
        if frame.truth is None or not frame.truth.any():
            return nothing(self.size)
        return Segmentation(frame.truth.astype(bool), 1.0)
