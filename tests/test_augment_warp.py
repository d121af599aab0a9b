"""Warped pictures: against the truth, which a scene can draw; and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest

from assets.toys import ToySet
from augment import AugmentError
from augment.guard import Guard, distance
from augment.warp import Warped, fill, warp_depth, warp_plane
from sim.camera import SIDE, WRIST, Camera, described, rotated
from sim.scene import SceneConfig
from sim.simrobot import SimRobot

SIZE = 96
OLD = described(SIDE, SIZE)


@dataclass(frozen=True)
class Shot:
    """One moment from one camera, as an episode of one step."""

    pictures: np.ndarray
    masks: np.ndarray
    depth: np.ndarray
    robot: np.ndarray


@pytest.fixture(scope="module")
def robot() -> Iterator[SimRobot]:
    with SimRobot(SceneConfig(ToySet.sample(9, 1).toys[0], (SIDE, WRIST), size=SIZE)) as robot:
        robot.place(np.zeros(2), np.random.default_rng(0))
        yield robot


@pytest.fixture(scope="module")
def shot(robot: SimRobot):
    def take(camera: Camera) -> Shot:
        robot.aim(camera)
        looks = robot.picture, robot.mask, robot.depth, robot.robot_mask
        return Shot(*(look(camera.name)[None] for look in looks))

    return take


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio of 8-bit values [dB]."""
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union."""
    return float((a & b).sum() / (a | b).sum())


def by_depth(shot: Shot, new: Camera) -> Warped:
    return warp_depth(shot.pictures, shot.masks, shot.depth, OLD, described(new, SIZE))


@pytest.mark.parametrize("degrees", [-5, 3])
def test_depth_leads_to_what_the_new_camera_sees(shot, degrees: float) -> None:
    before, truth = shot(SIDE), shot(rotated(SIDE, degrees))
    new = by_depth(before, rotated(SIDE, degrees))
    seen = ~new.holes
    print(f"{degrees} deg: {psnr(new.pictures[seen], truth.pictures[seen]):.1f} dB, mask {overlap(new.masks, truth.masks):.3f}")
    assert psnr(new.pictures[seen], truth.pictures[seen]) > 25
    assert overlap(new.masks, truth.masks) > 0.88
    assert psnr(before.pictures[seen], truth.pictures[seen]) < psnr(new.pictures[seen], truth.pictures[seen]) - 5


def test_what_is_nearer_stays_in_front(shot) -> None:
    """No pixel of the table behind the object shows through it."""
    truth = shot(rotated(SIDE, 5))
    new = by_depth(shot(SIDE), rotated(SIDE, 5))
    inside = truth.masks[0] & np.roll(truth.masks[0], 2, 0) & np.roll(truth.masks[0], -2, 0)
    inside &= np.roll(truth.masks[0], 2, 1) & np.roll(truth.masks[0], -2, 1) & ~new.holes[0]
    assert inside.any()
    assert (new.masks[0] & inside).sum() >= 0.97 * inside.sum()


def test_the_plane_of_the_table_is_exact_on_the_table(shot) -> None:
    before, truth = shot(SIDE), shot(rotated(SIDE, 5))
    ramp = np.broadcast_to((2 * np.indices((SIZE, SIZE)).transpose(1, 2, 0)[..., [0, 1, 1]]).astype(np.uint8), before.pictures.shape)
    new = warp_plane(ramp, before.masks, OLD, described(rotated(SIDE, 5), SIZE))
    exact = warp_depth(ramp, before.masks, before.depth, OLD, described(rotated(SIDE, 5), SIZE))
    table = ~(truth.robot | truth.masks | exact.holes | new.holes)[0]
    tall = warp_depth(before.pictures, before.robot | before.masks, before.depth, OLD, described(rotated(SIDE, 5), SIZE)).masks[0]
    table[: SIZE // 2] = False  # the floor beyond the table's edge is no part of it
    table &= ~tall
    assert table.sum() > 500
    away = np.abs(new.pictures[0].astype(int) - exact.pictures[0])[table] / 2  # [px]
    assert np.percentile(away, 98) <= 1
    assert np.abs(new.pictures[0].astype(int) - ramp[0])[table].mean() / 2 > 3  # and it did move


@pytest.mark.parametrize("way", ["depth", "plane"])
def test_a_camera_that_stays_changes_nothing(shot, way: str) -> None:
    before = shot(SIDE)
    new = by_depth(before, SIDE) if way == "depth" else warp_plane(before.pictures, before.masks, OLD, OLD)
    assert np.array_equal(new.pictures, before.pictures)
    assert (new.masks & before.masks).sum() == before.masks.sum()  # closing may add a pixel in a dent
    assert not new.holes.any()


def test_steps_do_not_mix(shot) -> None:
    before = shot(SIDE)
    other = replace(before, pictures=255 - before.pictures, depth=before.depth * 0.9)
    pictures, masks, depth = (np.concatenate([getattr(before, name), getattr(other, name)]) for name in ("pictures", "masks", "depth"))
    new = warp_depth(pictures, masks, depth, OLD, described(rotated(SIDE, 4), SIZE))
    for t, one in enumerate((before, other)):
        alone = by_depth(one, rotated(SIDE, 4))
        assert np.array_equal(new.pictures[t], alone.pictures[0])
        assert np.array_equal(new.masks[t], alone.masks[0])


def test_a_wrist_camera_is_warped_in_the_frame_of_its_hand(shot) -> None:
    near = replace(WRIST, pos=(0.006, 0.07, 0.02))
    before, truth = shot(WRIST), shot(near)
    new = warp_depth(before.pictures, before.masks, before.depth, described(WRIST, SIZE), described(near, SIZE))
    seen = ~new.holes
    assert psnr(new.pictures[seen], truth.pictures[seen]) > psnr(before.pictures[seen], truth.pictures[seen]) + 3


def test_unknown_depth_is_a_hole(shot) -> None:
    before = shot(SIDE)
    for nothing in (np.nan, np.inf, -1.0, 0.0):
        depth = before.depth.copy()
        depth[:, :20, :20] = nothing
        new = warp_depth(before.pictures, before.masks, depth, OLD, OLD)
        assert new.holes[:, :20, :20].all()
        assert not new.holes[:, 20:, 20:].any()


def test_holes_are_filled_from_their_rims_and_the_rest_stays() -> None:
    pictures = np.full((2, 40, 40, 3), 200, np.uint8)
    holes = np.zeros((2, 40, 40), bool)
    holes[0, 5:35, 5:35] = holes[1, 3, 3] = True
    pictures[holes] = 0
    filled = fill(pictures, holes)
    assert np.array_equal(filled[~holes], pictures[~holes])
    assert np.abs(filled.astype(int) - 200).max() <= 4
    everything = np.ones((1, 4, 4), bool)
    assert (fill(np.zeros((1, 4, 4, 3), np.uint8), everything) == 0).all()


def test_the_horizon_is_no_table(shot) -> None:
    """A camera that looks over the edge of the world sees the table below it only, not mirrored above."""
    level = replace(SIDE, at=(0.0, 0.1, 0.5))
    before = shot(SIDE)
    new = warp_plane(before.pictures, before.masks, OLD, described(replace(level, fovy=90.0), SIZE))
    assert new.holes[0, : SIZE // 2].all()
    assert not new.holes[0].all()


def test_cameras_that_nobody_calibrated_are_refused(shot) -> None:
    before = shot(SIDE)
    blind = replace(OLD, intrinsics=np.zeros((3, 3)))
    lost = replace(OLD, extrinsics=np.zeros((4, 4)))
    for odd, said in ((blind, "intrinsics"), (lost, "extrinsics")):
        for old, new in ((odd, OLD), (OLD, odd)):
            with pytest.raises(AugmentError, match=said):
                warp_plane(before.pictures, before.masks, old, new)
            with pytest.raises(AugmentError, match=said):
                warp_depth(before.pictures, before.masks, before.depth, old, new)
    nowhere = replace(OLD, extrinsics=np.eye(4))
    with pytest.raises(AugmentError, match="plane of the table"):
        warp_plane(before.pictures, before.masks, nowhere, OLD)


def test_cameras_on_bodies_and_depth_of_another_size_are_refused(shot) -> None:
    before, wrist = shot(SIDE), described(WRIST, SIZE)
    with pytest.raises(AugmentError, match="fixed to the robot"):
        warp_plane(before.pictures, before.masks, wrist, wrist)
    with pytest.raises(AugmentError, match="right_gripper"):
        warp_depth(before.pictures, before.masks, before.depth, OLD, wrist)
    with pytest.raises(AugmentError, match="depth of shape"):
        warp_depth(before.pictures, before.masks, before.depth[:, :9], OLD, OLD)


def test_the_guard_finds_what_fell_apart(shot) -> None:
    before, guard, rng = shot(SIDE), Guard(), np.random.default_rng(0)
    pictures, masks, none = before.pictures, before.masks, np.zeros_like(before.masks)
    truth = shot(rotated(SIDE, 15))
    assert guard.fault_of_warp(pictures, truth.pictures, none) is None
    assert guard.fault(masks, masks) is None
    assert "holes" in str(guard.fault_of_warp(pictures, pictures, ~none))
    assert "unlike" in str(guard.fault_of_warp(pictures, rng.integers(0, 256, pictures.shape, np.uint8), none))
    assert "unlike" in str(guard.fault_of_warp(pictures, np.zeros_like(pictures), none))
    assert "0% of the target" in str(guard.fault(masks, none))
    large = np.ones((10, 4, 4), bool)
    gone = large.copy()
    gone[:6] = False
    assert "lost in 6 of the 10" in str(guard.fault(large, gone))
    assert guard.fault(none, none) is None


def test_the_distance_of_pictures_is_0_to_themselves_and_grows_with_noise(shot) -> None:
    pictures, rng = shot(SIDE).pictures, np.random.default_rng(0)
    noise = rng.normal(size=pictures.shape)
    away = [distance(pictures, np.clip(pictures + s * noise, 0, 255).round().astype(np.uint8)) for s in (0, 5, 20, 80)]
    assert away[0] == pytest.approx(0, abs=1e-6)
    assert away == sorted(away)
