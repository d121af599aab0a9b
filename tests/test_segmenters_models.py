"""SAM 2 on a stream and words to boxes, with the real classes of `transformers` and small random networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hardware.api import SegmenterError
from hardware.camera import Frame
from hardware.segmenter import Box, Click, Words
from policies.segmenters import weights
from policies.segmenters.sam2 import Sam2, Sam2Track, judged
from policies.segmenters.words import Detector, choose, overlap

SIDE = 128
"""Of the pictures that the small network takes [px]."""


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SAM 2 of 1.2 million random weights, saved as a checkpoint of the hub is."""
    library = pytest.importorskip("transformers", reason="needs transformers: pip install transformers==5.23.0")
    wide = 128
    sizes = [[SIDE // 4] * 2, [SIDE // 8] * 2, [SIDE // 16] * 2]
    backbone = library.Sam2HieraDetConfig(
        hidden_size=8,
        image_size=[SIDE, SIDE],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64],
        num_attention_heads_per_stage=[1, 1, 2, 4],
        global_attention_blocks=[3],
    )
    config = library.Sam2VideoConfig(
        vision_config=library.Sam2VisionConfig(
            backbone_config=backbone, backbone_channel_list=[64, 32, 16, 8], backbone_feature_sizes=sizes, fpn_hidden_size=wide
        ),
        prompt_encoder_config={"hidden_size": wide, "image_size": SIDE},
        mask_decoder_config={"hidden_size": wide, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 32},
        image_size=SIDE,
        memory_attention_hidden_size=wide,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=32,
        memory_attention_rope_feat_sizes=sizes[-1],
        memory_encoder_hidden_size=wide,
        memory_encoder_output_channels=wide // 2,
        mask_downsampler_embed_dim=wide,
        memory_fuser_embed_dim=wide,
        memory_fuser_intermediate_dim=32,
        memory_fuser_num_layers=1,
    )
    torch.manual_seed(2)
    model = library.Sam2VideoModel(config).eval()
    with torch.no_grad():  # masks and objects that it is sure of
        model.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(4.0)
        for layer in model.mask_decoder.output_hypernetworks_mlps:
            layer.proj_out.weight.mul_(3e4)
    size = {"height": SIDE, "width": SIDE}
    images = library.Sam2ImageProcessor(size=size, mask_size={"height": SIDE // 4, "width": SIDE // 4})
    processor = library.Sam2VideoProcessor(images, library.Sam2VideoVideoProcessor(size=size))
    path = tmp_path_factory.mktemp("sam2")
    model.save_pretrained(path)
    processor.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def sam2(folder: Path) -> Sam2:
    return Sam2(str(folder), every=5, detector=lambda image, text: Box(20, 20, 70, 60))


def picture(seed: int = 0, height: int = 72, width: int = 96) -> np.ndarray:
    image = np.full((height, width, 3), (205, 170, 125), np.uint8)
    image[30:50, 40:60] = (200, 30, 35)
    return np.clip(image + np.random.default_rng(seed).normal(0, 3, image.shape), 0, 255).astype(np.uint8)


class Blind:
    """A network that sees no object in some looks, which it counts."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.blind = False
        self.unless_asked = False
        """Sees it where a prompt belongs to the frame."""
        self.looks = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(self, session: Any, **inputs: Any) -> Any:
        self.looks += 1
        asked = bool(session.point_inputs_per_obj[0])
        out = self._model(session, **inputs)
        if self.blind and not (self.unless_asked and asked):
            out.object_score_logits = torch.full_like(out.object_score_logits, -6.0)
        return out


def track_of(sam2: Sam2, words: str | None = None) -> tuple[Sam2Track, Blind]:
    processor, model = sam2._parts
    blind = Blind(model)
    track = Sam2Track(sam2, "side", processor, blind, words)
    assert track.begin(picture(), Box(40, 30, 60, 50))
    return track, blind


@pytest.mark.parametrize("prompt", [Click(50, 40), Box(40, 30, 60, 50), Box(-9, -9, 500, 500), Words("the mug")], ids=str)
def test_a_stream_gives_masks_of_its_own_size(sam2: Sam2, prompt: Click | Box | Words) -> None:
    track = sam2.start("side", Frame(picture(), 0.0, 0), prompt)
    for t in range(3):
        seen = track.update(Frame(picture(t), 0.1 * t, t))
        assert seen.mask.shape == (72, 96)
        assert seen.mask.dtype == bool
        assert 0 <= seen.confidence <= 1
        assert (seen.confidence == 0) == (not seen.mask.any())


def test_it_says_what_the_whole_session_says(sam2: Sam2) -> None:
    """Forgetting changes nothing: the masks are those of a session that keeps everything."""
    processor, model = sam2._parts
    frames = [picture(t) for t in range(24)]
    track = sam2.start("side", Frame(frames[0], 0.0, 0), Click(50, 40))
    session = processor.init_video_session()
    processor.add_inputs_to_inference_session(session, 0, 1, input_points=[[[[50, 40]]]], input_labels=[[[1]]], original_size=(72, 96))
    for t, image in enumerate(frames):
        out = model(session, frame_idx=t, frame=processor(images=image, return_tensors="pt").pixel_values[0])
        whole = processor.post_process_masks([out.pred_masks], [[72, 96]])[0].numpy().reshape(72, 96)
        if t:
            assert (track.update(Frame(image, 0.1 * t, t)).mask == whole).all(), t
    assert len(session.processed_frames) == 24
    assert len(track._session.processed_frames) == 1


def held(session: Any) -> int:
    """Numbers that a session keeps."""
    outputs = session.output_dict_per_obj[0].values()
    tensors = [v for group in outputs for output in group.values() for v in output.values() if isinstance(v, torch.Tensor)]
    return sum(t.numel() for t in [*session.processed_frames.values(), *tensors]) + len(session.frames_tracked_per_obj[0])


def test_memory_is_bounded_over_two_hundred_frames(sam2: Sam2) -> None:
    track, _ = track_of(sam2)
    kept = []
    for t in range(200):
        track.update(Frame(picture(t % 3), 0.1 * t, t))
        kept.append(held(track._session))
    assert max(kept[40:]) == kept[40]
    assert kept[-1] <= kept[40]
    outputs = track._session.output_dict_per_obj[0]
    assert list(outputs["cond_frame_outputs"]) == [0]
    assert len(outputs["non_cond_frame_outputs"]) <= 17


def test_a_lost_target_is_asked_for_again_now_and_then_and_leaves_no_trace(sam2: Sam2) -> None:
    track, blind = track_of(sam2)
    track.update(Frame(picture(1), 0.0, 0))
    blind.blind, blind.looks = True, 0
    for t in range(11):
        seen = track.update(Frame(picture(t), 0.1 * t, t))
        assert seen.confidence == 0
        assert not seen.mask.any()
    assert blind.looks == 11 + 3  # the first, sixth and eleventh frame with a box from the last good mask
    blind.blind, blind.looks = False, 0
    assert track.update(Frame(picture(2), 2.0, 12)).confidence > sam2.lost
    assert blind.looks == 1


def test_what_is_not_taken_is_not_remembered(sam2: Sam2) -> None:
    asked, _ = track_of(sam2)
    never, _ = track_of(sam2)
    for track in (asked, never):
        track._now = 1
        track._look(picture(9))
    asked._mask = np.zeros_like(asked._mask)
    asked._mask[:2, :2] = True  # nothing found is of the size of this
    asked._lost = 1
    assert asked._again(picture(9)) is None
    for t in range(4):
        asked._now, never._now = asked._now + 1, never._now + 1
        assert (asked._look(picture(t)).mask == never._look(picture(t)).mask).all()


def test_a_box_from_the_last_good_mask_finds_it(sam2: Sam2) -> None:
    track, blind = track_of(sam2)
    before = track.update(Frame(picture(1), 0.0, 0))
    blind.blind = blind.unless_asked = True
    blind.looks = 0
    seen = track.update(Frame(picture(1), 0.1, 1))
    assert blind.looks == 2
    assert seen.confidence > sam2.lost
    assert before.mask.sum() / 3 < seen.mask.sum() < before.mask.sum() * 3


def test_in_other_colours_it_is_not_the_target(sam2: Sam2) -> None:
    track, blind = track_of(sam2)
    blind.blind = blind.unless_asked = True
    seen = track.update(Frame(np.full((72, 96, 3), (10, 40, 220), np.uint8), 0.1, 1))
    assert seen.confidence == 0


def test_words_are_asked_again_where_the_box_does_not_help(folder: Path) -> None:
    calls = []

    def find(image: np.ndarray, text: str) -> Box:
        calls.append(text)
        if len(calls) == 1:
            raise SegmenterError("nothing")
        return Box(20, 20, 70, 60)

    track, blind = track_of(Sam2(str(folder), every=5, detector=find), "the mug")
    blind.blind = True
    for t in range(11):
        track.update(Frame(picture(t), 0.1 * t, t))
    assert calls == ["the mug", "the mug"]  # the sixth and the eleventh frame


def test_what_cannot_be_is_refused_by_name(sam2: Sam2, folder: Path) -> None:
    frame = Frame(picture(), 0.0, 0)
    with pytest.raises(SegmenterError, match="outside of the picture"):
        sam2.start("side", frame, Click(96, 0))
    with pytest.raises(SegmenterError, match="words are empty"):
        sam2.start("side", frame, Words(" "))
    track = sam2.start("side", frame, Click(50, 40))
    with pytest.raises(SegmenterError, match="sent 96 x 64 px"):
        track.update(Frame(np.zeros((64, 96, 3), np.uint8), 0.1, 1))
    with pytest.raises(SegmenterError, match=r"lost=1.5 lies between 0 and 1"):
        Sam2(lost=1.5)
    blind_folder = Sam2(str(folder), lost=0.999)
    with pytest.raises(SegmenterError, match="sees no object at Click"):
        blind_folder.start("side", frame, Click(50, 40))


def test_without_weights_one_line_says_which_files_to_bring(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="needs transformers: pip install transformers==5.23.0")
    (tmp_path / "empty").mkdir()
    frame = Frame(picture(), 0.0, 0)
    for make in (Sam2(str(tmp_path / "empty")), Sam2(detector=Detector(str(tmp_path / "empty")))):
        prompt = Click(50, 40) if make.model != Sam2().model else Words("the mug")
        with pytest.raises(SegmenterError, match=r"hf download .* --local-dir FOLDER` \(config.json, model.safetensors") as error:
            make.start("side", frame, prompt)
        assert "\n" not in str(error.value)


def test_a_hub_that_is_out_of_reach_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers", reason="needs transformers: pip install transformers==5.23.0")
    asked = []

    def refuse(address: tuple[str, int], timeout: float) -> None:
        asked.append(address)
        raise OSError("no network")

    monkeypatch.setattr(weights, "create_connection", refuse)
    monkeypatch.setattr(weights, "getproxies", dict)
    for model, what in ((Sam2("nobody/nothing"), Click(50, 40)), (Sam2(detector=Detector("nobody/nothing")), Words("the mug"))):
        with pytest.raises(SegmenterError, match="hf download nobody/nothing --local-dir FOLDER"):
            model.start("side", Frame(picture(), 0.0, 0), what)
    assert len(asked) == 2


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    library = pytest.importorskip("transformers", reason="needs transformers: pip install transformers==5.23.0")
    library.Owlv2Config().save_pretrained(tmp_path)
    with pytest.raises(SegmenterError, match=r"is a 'owlv2' model; it takes sam2_video or edgetam_video"):
        Sam2(str(tmp_path)).start("side", Frame(picture(), 0.0, 0), Click(50, 40))


def test_without_the_package_a_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(weights, "import_module", missing)
    for make, prompt in ((Sam2(), Click(50, 40)), (Sam2(), Words("the mug"))):
        with pytest.raises(SegmenterError, match=r"needs transformers: pip install transformers==5.23.0"):
            make.start("side", Frame(picture(), 0.0, 0), prompt)


def test_confidence_is_presence_times_sharpness() -> None:
    blob = np.full((20, 20), -8.0)
    blob[5:15, 5:15] = 8.0
    sure = judged(blob, 5.0)
    assert sure.mask.sum() == 100
    assert sure.confidence > 0.99
    assert judged(blob, -5.0).confidence < 0.01
    assert judged(blob / 10, 5.0).confidence < 0.5  # a rim as soft as that says little
    assert judged(np.full((20, 20), -8.0), 5.0).confidence == 0


def test_of_boxes_the_best_is_taken_unless_another_thing_is_as_good() -> None:
    boxes = np.array([[10, 10, 30, 30], [11, 9, 31, 30], [60, 40, 80, 70]], float)
    assert choose(boxes, np.array([0.5, 0.6, 0.2]), (96, 72), "mug", 0.8) == Box(11, 9, 31, 30)
    assert choose(boxes + 70, np.array([0.9, 0.2, 0.1]), (110, 110), "mug", 0.8) == Box(80, 80, 100, 100)
    with pytest.raises(SegmenterError, match=r"'mug' fits two things, 0.60 around x, y = \(21, 19\) and 0.55 around \(70, 55\)"):
        choose(boxes, np.array([0.5, 0.6, 0.55]), (96, 72), "mug", 0.8)
    for none in (np.zeros((0, 4)), np.array([[200.0, 200, 220, 220]])):
        with pytest.raises(SegmenterError, match="nothing in the picture is called so"):
            choose(none, np.ones(len(none)), (96, 72), "mug", 0.8)
    assert overlap(Box(0, 0, 10, 10), Box(2, 2, 4, 4)) == 1
    assert overlap(Box(0, 0, 10, 10), Box(10, 0, 14, 4)) == 0
