"""Other tables and rooms: robot and object stay bit by bit, textures stay where they are in the world, folders may hold anything."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sim.collect
from augment.background import Background, BackgroundConfig, Source, Table, TableConfig, _visible, open_background, open_table
from augment.errors import AugmentError
from augment.folder import open_folder
from augment.texture import PATTERNS, paint
from augment.world import World
from episodes import CameraInfo, DatasetInfo, Episode, open_dataset
from sim.camera import SIDE
from sim.collect import CollectConfig
from sim.workers import share

OPENED = {"background": (open_background, BackgroundConfig), "table": (open_table, TableConfig)}
every = pytest.mark.parametrize("name", list(OPENED))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One demonstration, made in this process."""
    out = tmp_path_factory.mktemp("background") / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sim.collect, "share", lambda start, items, workers, **how: share(start, items, 0))
        sim.collect.run(CollectConfig(out=str(out), toys=1, demos=1, size=64, seed=3))
    return out


@pytest.fixture(scope="module")
def world(data: Path) -> Iterator[World]:
    with World.open(data) as world:
        yield world


@pytest.fixture(scope="module")
def episode(data: Path) -> Episode:
    return open_dataset(data)[0]


def painted(name: str, world: World, episode: Episode, seed: int = 0, **settings) -> Episode:
    opened, config = OPENED[name]
    return opened(config(**settings), world)(episode, np.random.default_rng(seed))


def flat(length: int = 4, grey: int = 120) -> tuple[DatasetInfo, Episode]:
    """Of a camera that stands still and is not simulated: an even table, a small object in the middle."""
    camera = CameraInfo(64, 64, SIDE.fovy, SIDE.intrinsics(64), SIDE.extrinsics())
    info = DatasetInfo(10.0, "another", ("a",), {"side": camera})
    mask = np.zeros((length, 64, 64), bool)
    mask[:, 28:36, 28:36] = True
    one = np.zeros((length, 2), np.float32)
    state = np.zeros((length + 1, 1))
    pictures = np.full((length, 64, 64, 3), grey, np.uint8)
    signals = (one[:, :1], one[:, :1], one, one, np.ones(length, bool), state)
    return info, Episode({"side": pictures}, {"side": mask}, *signals, "", 0.1, True, {})


@every
def test_robot_and_object_stay_bit_by_bit_and_so_does_the_motion(name: str, world: World, episode: Episode) -> None:
    new, robots = painted(name, world, episode), world.robot_masks(episode)
    for camera, mask in episode.masks.items():
        kept = mask | robots[camera]
        assert np.array_equal(new.images[camera][kept], episode.images[camera][kept])
        assert np.array_equal(new.masks[camera], mask)
    changed = {camera: (new.images[camera] != episode.images[camera]).any(-1) for camera in episode.images}
    assert changed["side"].any()
    for field in ("qpos", "gripper", "actions", "sent", "labelled", "state"):
        assert getattr(new, field) is getattr(episode, field)


def test_together_they_leave_nothing_of_what_was_there(world: World, episode: Episode) -> None:
    table, room, robots = painted("table", world, episode), painted("background", world, episode), world.robot_masks(episode)
    for camera in episode.images:
        on, off = ((new.images[camera] != episode.images[camera]).any(-1) for new in (table, room))
        behind = ~(robots[camera] | episode.masks[camera])
        assert not (on & off).any()
        assert (on | off)[behind].mean() > 0.97  # a texture may have the old colour by chance


def test_the_tables_texture_stays_in_the_world_for_all_cameras_and_steps(world: World, episode: Episode) -> None:
    """One smooth field over the table explains the colours of every pixel of the table, from wherever it is seen."""
    new, rows = painted("table", world, episode, patterns=["gradient"]), []
    for camera, views, behind in _visible(world, episode):
        assert len(views) == (1 if camera == "side" else len(episode))
        for t in range(0, len(episode), 8):
            view = views[t % len(views)]
            where = behind[t] & view.on(TableConfig())
            at = view.table[where]
            rows.append(np.column_stack([np.ones(len(at)), at, new.images[camera][t][where]]))
    whole = np.concatenate(rows)
    found, *_ = np.linalg.lstsq(whole[:, :3], whole[:, 3:], rcond=None)
    assert np.ptp(whole[:, 3:], axis=0).max() > 15
    assert np.abs(whole[:, :3] @ found - whole[:, 3:]).mean() < 1


def test_the_room_stays_where_it_is_for_a_camera_that_stands_still(world: World, episode: Episode) -> None:
    new = painted("background", world, episode, patterns=["speckle"]).images["side"]
    changed = (new != episode.images["side"]).any(-1)
    both = changed[0] & changed[-1]
    assert both.sum() > 50
    assert np.array_equal(new[0][both], new[-1][both])


def test_the_tables_shading_stays() -> None:
    info, episode = flat()
    pictures = episode.images["side"].copy()
    pictures[:, 50:, :20] = 60  # a shadow, half as bright
    table = Table(TableConfig(), World(info), Source(("gradient",)))
    plain, shaded = (table(replace(episode, images={"side": p}), np.random.default_rng(0)) for p in (episode.images["side"], pictures))
    lit, dark = plain.images["side"][0, 50:, :20], shaded.images["side"][0, 50:, :20]
    assert np.abs(dark.astype(float) - lit / 2).max() <= 1
    assert np.array_equal(plain.images["side"][0, 50:, 20:], shaded.images["side"][0, 50:, 20:])


def test_the_table_is_seen_in_perspective() -> None:
    info, episode = flat()
    checks = np.zeros((384, 384, 3), np.uint8)
    checks[192:] = 255  # y above the middle of the table is white

    class Half(Source):
        def draw(self, rng: np.random.Generator) -> tuple[str, np.ndarray]:
            return "half", checks

    new = Table(TableConfig(), World(info), Half(()))(episode, np.random.default_rng(0)).images["side"][0]
    pose, intrinsics = np.linalg.inv(SIDE.extrinsics()), SIDE.intrinsics(64)
    for x, y in [(0.45, 0.05), (0.6, 0.05), (0.45, -0.05), (0.35, -0.1), (0.5, 0.12)]:
        u, v, w = intrinsics @ (pose @ [x, y, 0, 1])[:3]
        column, row = int(u / w), int(v / w)
        if not episode.masks["side"][0, row, column]:
            assert (new[row, column].mean() > 100) == (y > 0)


@every
def test_the_same_generator_draws_the_same(name: str, world: World, episode: Episode) -> None:
    first, again, other = (painted(name, world, episode, seed) for seed in (1, 1, 2))
    assert np.array_equal(first.images["side"], again.images["side"])
    assert not np.array_equal(first.images["side"], other.images["side"])
    assert first.provenance["augment"] == again.provenance["augment"]


@pytest.mark.parametrize("pattern", list(PATTERNS))
def test_a_pattern_repeats_and_varies(pattern: str) -> None:
    first, again, other = (paint(pattern, np.random.default_rng(seed), 96) for seed in (0, 0, 1))
    assert first.shape == (96, 96, 3)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len(np.unique(first.reshape(-1, 3), axis=0)) > 1


def test_a_folder_leaves_out_what_is_no_picture_and_says_so(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (80, 120, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "good.png")
    Image.fromarray(noise).save(tmp_path / "fine.jpg")
    (tmp_path / "cut.png").write_bytes((tmp_path / "good.png").read_bytes()[:2000])
    (tmp_path / "words.jpg").write_text("not a picture")
    (tmp_path / "empty.png").write_bytes(b"")
    header = b"IHDR" + struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    chunks = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + struct.pack(">I", 100) + b"IDAT" + bytes(104)
    (tmp_path / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    Image.fromarray(noise[:8, :8]).save(tmp_path / "tiny.png")
    (tmp_path / "folder.png").mkdir()
    folder = open_folder(tmp_path)
    assert set(folder.pictures) == {"good.png", "fine.jpg"}
    assert set(folder.left_out) == {"cut.png", "words.jpg", "empty.png", "huge.png", "tiny.png", "folder.png"}
    assert "40000 x 40000" in folder.left_out["huge.png"] or "more pixels" in folder.left_out["huge.png"]
    info, episode = flat()
    new = open_background(BackgroundConfig(folder=str(tmp_path)), World(info))(episode, np.random.default_rng(0))
    said = new.provenance["augment"][-1]
    assert said["picture"] in folder.pictures
    assert said["left_out_in_all"] == 6


def test_a_folder_of_broken_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "words.jpg").write_text("not a picture")
    with pytest.raises(AugmentError, match=r"none of 1 files.*words\.jpg"):
        open_folder(tmp_path)
    with pytest.raises(AugmentError, match="No such file"):
        open_folder(tmp_path / "nowhere")


def test_what_cannot_be_painted_is_refused() -> None:
    info, episode = flat()
    blind = replace(episode, masks={"side": np.zeros_like(episode.masks["side"])})
    for made in (Background(BackgroundConfig(), World(info), Source(("wood",))), Table(TableConfig(), World(info), Source(("wood",)))):
        with pytest.raises(AugmentError, match="no mask"):
            made(blind, np.random.default_rng(0))
    elsewhere = TableConfig(middle=[-5.0, 0.0])
    with pytest.raises(AugmentError, match="no camera sees the table"):
        Table(elsewhere, World(info), Source(("wood",)))(episode, np.random.default_rng(0))
    moving = replace(info, cameras={"side": replace(info.cameras["side"], body="hand")})
    with pytest.raises(AugmentError, match="all cameras move"):
        Background(BackgroundConfig(), World(moving), Source(("wood",)))(episode, np.random.default_rng(0))


@pytest.mark.parametrize(
    "settings", [{"patterns": ["marble"]}, {"folder": "x", "patterns": ["wood"]}, {"half": [0.0, 1.0]}, {"middle": [float("nan"), 0.0]}]
)
def test_settings_are_checked(settings: dict) -> None:
    with pytest.raises(AugmentError):
        BackgroundConfig(**settings)
