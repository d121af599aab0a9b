"""Pictures of episodes."""

import subprocess
import sys

import numpy as np
import pytest
from episode_samples import make_episode, make_info
from imageio_ffmpeg import count_frames_and_secs, get_ffmpeg_exe
from PIL import Image

from episodes import DatasetWriter, EpisodeError, StoreError
from episodes.picture import OUTLINE, draw_mask, enlarge, filmstrip, panel, sheet, write_picture, write_video
from episodes.view import ViewConfig, contact_sheet, run, video_frames


@pytest.fixture
def data(tmp_path):
    writer = DatasetWriter(tmp_path / "data", make_info())
    writer.write("a", [make_episode(0, 6), make_episode(1, 9, labelled=np.arange(9) > 4)])
    return writer.path


def test_view_writes_a_video_and_a_sheet(data, tmp_path):
    summary = run(ViewConfig(data=str(data), episode=1, out=str(tmp_path / "new/view"), size=65, frames=4))
    assert (summary["episode"], summary["steps"], summary["success"]) == (1, 9, True)
    assert count_frames_and_secs(summary["video"])[0] == 9
    with Image.open(summary["sheet"]) as page:
        assert page.mode == "RGB"
        assert page.width > 4 * 192


def test_episodes_count_from_the_end(data, tmp_path):
    assert run(ViewConfig(data=str(data), episode=-1, out=str(tmp_path), size=64))["episode"] == 1


@pytest.mark.parametrize("episode", [2, -3])
def test_an_episode_that_is_not_there(data, tmp_path, episode):
    with pytest.raises(EpisodeError, match=f"episode={episode}; .* has 0 to 1"):
        run(ViewConfig(data=str(data), episode=episode, out=str(tmp_path)))


def test_no_dataset(tmp_path):
    with pytest.raises(StoreError, match="no dataset"):
        run(ViewConfig(data=str(tmp_path)))


@pytest.mark.parametrize("changes", [{"frames": 0}, {"size": 10}])
def test_ranges(changes):
    with pytest.raises(EpisodeError):
        ViewConfig(**changes)


def test_rerun_is_optional(data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(EpisodeError, match="rerun=true needs"):
        run(ViewConfig(data=str(data), out=str(tmp_path), size=64, rerun=True))


def test_frames_show_all_cameras():
    episode = make_episode(0, 3)
    frames = list(video_frames(episode, 128))
    assert len(frames) == 3
    assert {frame.shape for frame in frames} == {(128 + 24, 128 + 155, 3)}


def test_the_sheet_takes_no_frame_twice():
    assert contact_sheet(make_episode(0, 3), 10).shape == contact_sheet(make_episode(0, 3), 3).shape


def test_an_outline_surrounds_the_mask_and_nothing_else():
    grey, mask = np.full((100, 100, 3), 90, np.uint8), np.zeros((100, 100), bool)
    mask[30:60, 40:80] = True
    drawn = draw_mask(grey, mask)
    changed = (drawn != grey).any(axis=-1)
    assert (drawn[29, 40:80] == OUTLINE).all()
    assert not changed[mask].any()
    assert not changed[:27].any()
    assert (grey == 90).all()
    assert (draw_mask(grey, np.zeros((100, 100), bool)) == grey).all()


def test_a_small_mask_outlines_a_large_picture():
    mask = np.zeros((32, 32), bool)
    mask[8:16, 8:16] = True
    drawn = draw_mask(np.zeros((320, 320, 3), np.uint8), mask)
    rows = np.flatnonzero((drawn == OUTLINE).all(axis=-1).any(axis=1))
    assert abs(rows[0] - 80) <= 3
    assert abs(rows[-1] - 160) <= 3


def test_a_strip_keeps_its_pictures_apart_on_white():
    strip = filmstrip([np.zeros((40, 60, 3), np.uint8)] * 3, labels=["a", "b", "c"])
    assert (strip[0] == 255).all()
    dark = (strip[strip.shape[0] - 20] < 10).all(axis=-1)
    assert (np.diff(dark.astype(int)) == 1).sum() == 3
    assert filmstrip(np.zeros((2, 8, 8, 3), np.uint8), np.ones((2, 8, 8), bool), height=64).shape[0] > 64


def test_a_sheet_needs_even_rows():
    with pytest.raises(EpisodeError, match=r"\[2, 1\]"):
        sheet([np.zeros((2, 8, 8, 3), np.uint8), np.zeros((1, 8, 8, 3), np.uint8)])
    with pytest.raises(EpisodeError):
        filmstrip([])


def test_enlarging_keeps_proportions():
    assert enlarge(np.zeros((24, 29, 3), np.uint8), 48).shape == (48, 58, 3)
    assert panel(100, 24, [(5, "step 1")], bar=0.5).shape == (24, 100, 3)


def test_a_video_is_what_was_drawn(tmp_path):
    frames = np.zeros((5, 33, 51, 3), np.uint8)
    frames[:, :, :, 0] = np.linspace(40, 240, 5)[:, None, None]
    path = tmp_path / "odd.mp4"
    write_video(path, frames, 10.0)
    command = [get_ffmpeg_exe(), "-loglevel", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.uint8).reshape(5, 34, 52, 3)
    assert np.abs(raw[:, :33, :51].astype(int) - frames).mean() < 6
    assert count_frames_and_secs(str(path))[1] == pytest.approx(0.5, abs=0.05)


def test_videos_that_cannot_be_written(tmp_path):
    frames = np.zeros((2, 32, 32, 3), np.uint8)
    with pytest.raises(EpisodeError, match="at least one picture"):
        write_video(tmp_path / "a.mp4", [], 10)
    with pytest.raises(EpisodeError, match="cannot write"):
        write_video(tmp_path / "nowhere/a.mp4", frames, 10)
    with pytest.raises(EpisodeError, match="of one size"):
        write_video(tmp_path / "a.mp4", [frames[0], frames[0, :16]], 10)
    with pytest.raises(EpisodeError, match="cannot write"):
        write_picture(tmp_path / "nowhere/a.png", frames[0])
