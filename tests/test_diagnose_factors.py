"""Factors of episodes: found where they are, said where they are not, and dependence named where it was planted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import pytest
from episode_samples import make_episode, make_info

from augment.diagnose.factors import choose_camera, holm, tabulate
from augment.diagnose.features import classic, open_features, words
from augment.diagnose.information import Dependence
from augment.diagnose.source import SubDataset, open_subdataset
from augment.errors import AugmentError
from episodes import CameraInfo, DatasetWriter
from sim.camera import SIDE, described, rotated

SIZE = 64


def seen_from(degrees: float) -> CameraInfo:
    return described(rotated(SIDE, degrees), SIZE)


def looking_at(x: float, y: float, camera: CameraInfo) -> np.ndarray:
    """A mask of nine pixels around a point of the table."""
    point = np.linalg.inv(np.asarray(camera.extrinsics)) @ np.array([x, y, 0, 1])
    u, v, _ = np.asarray(camera.intrinsics) @ point[:3] / point[2]
    mask = np.zeros((SIZE, SIZE), bool)
    mask[int(v) - 1 : int(v) + 2, int(u) - 1 : int(u) + 2] = True
    return mask


def subdataset(name: str, places: list[tuple[float, float]], degrees: list[float], **changes: object) -> SubDataset:
    rng = np.random.default_rng(len(name))
    cameras = [seen_from(d) for d in degrees]
    masks = np.stack([looking_at(x, y, camera) for (x, y), camera in zip(places, cameras, strict=True)])
    said: list[Mapping[str, object]] = [{"object": "can", "toy": 0} for _ in places]
    fields = {
        "name": name,
        "robot": "panda",
        "pictures": {"side": rng.integers(0, 255, (len(places), SIZE, SIZE, 3), np.uint8)},
        "masks": {"side": masks},
        "cameras": [{"side": camera} for camera in cameras],
        "provenance": said,
        "instructions": ("pick up the can",) * len(places),
        "qpos": rng.normal(size=(len(places), 7)),
    }
    return SubDataset(**{**fields, **changes})  # pyright: ignore[reportArgumentType]


def test_the_place_of_an_object_does_not_depend_on_the_camera() -> None:
    places = [(0.5, -0.04), (0.52, 0.05), (0.47, 0.0)]
    tables = [tabulate([subdataset("a", places, [d] * 3)]) for d in (-8.0, 0.0, 8.0)]
    for table in tables:
        found = [float(v) for v in table.named("object sideways").values]
        assert found == pytest.approx([y for _, y in places], abs=0.012)
    angles = [float(table.named("camera angle").values[0]) for table in tables]
    assert np.diff(angles) == pytest.approx([8, 8], abs=0.05)


def test_islands_are_named_and_independence_is_not() -> None:
    left, right = [(0.5, 0.05)] * 20, [(0.5, -0.05)] * 20
    islands = tabulate([subdataset("a", left, [-6.0] * 20), subdataset("b", right, [6.0] * 20)])
    worst = islands.dependences(np.random.default_rng(0))[0]
    assert (worst.u, worst.where) == ("object sideways", "mixture")
    assert worst.nmi == pytest.approx(1)
    assert worst.p < 0.01
    mixed = tabulate([subdataset("a", left[:10] + right[:10], [-6.0] * 20), subdataset("b", left[:10] + right[:10], [6.0] * 20)])
    free = next(d for d in mixed.dependences(np.random.default_rng(0)) if (d.u, d.v) == ("object sideways", "camera angle"))
    assert free.nmi == pytest.approx(0, abs=1e-9)
    assert free.p > 0.5


def test_dependence_inside_one_sub_dataset_is_found_where_it_is() -> None:
    places = [(0.5, 0.05)] * 10 + [(0.5, -0.05)] * 10
    both = [subdataset("tied", places, [-6.0] * 10 + [6.0] * 10), subdataset("free", places, [-6.0, 6.0] * 10)]
    found = tabulate(both).dependences(np.random.default_rng(0))
    inside = {d.where: d.nmi for d in found if (d.u, d.v) == ("object sideways", "camera angle")}
    assert inside["tied"] == pytest.approx(1)
    assert inside["free"] == pytest.approx(0, abs=1e-9)
    assert 0.1 < inside["mixture"] < 0.5


def test_what_is_not_known_is_said() -> None:
    blind = subdataset("blind", [(0.5, 0.0)] * 3, [0.0] * 3, masks={}, cameras=[{}] * 3, provenance=[{}] * 3)
    table = tabulate([subdataset("a", [(0.5, 0.0)] * 3, [0.0] * 3), blind])
    assert {factor.name for factor in table.factors} == {"instruction", "sub-dataset", "robot", "start pose"}
    assert any(note == "camera angle is not known of blind" for note in table.notes)
    assert any(note == "object sideways is not known of blind" for note in table.notes)
    masks = np.stack([looking_at(0.5, 0.0, seen_from(0.0))] * 3) & np.array([1, 1, 0], bool)[:, None, None]
    notes = tabulate([subdataset("half", [(0.5, 0.0)] * 3, [0.0] * 3, masks={"side": masks})]).notes
    assert "object sideways is not known of 1 of 3 episodes of half" in notes


def test_the_camera_is_one_that_all_have() -> None:
    a, b = subdataset("a", [(0.5, 0.0)], [0.0]), subdataset("b", [(0.5, 0.0)], [0.0])
    other = subdataset("c", [(0.5, 0.0)], [0.0], pictures={"top": np.zeros((1, 8, 8, 3), np.uint8)})
    assert choose_camera([a, b]) == "side"
    with pytest.raises(AugmentError, match="in common"):
        choose_camera([a, other])
    with pytest.raises(AugmentError, match="camera=top"):
        choose_camera([a, b], "top")
    with pytest.raises(AugmentError, match="no sub-dataset"):
        tabulate([])


def test_pictures_of_other_sizes_are_said_to_be() -> None:
    a, b = subdataset("a", [(0.5, 0.0)], [0.0]), subdataset("b", [(0.5, 0.0)], [0.0], pictures={"side": np.zeros((1, 32, 48, 3), np.uint8)})
    assert any("48 x 32, 64 x 64" in note for note in tabulate([a, b]).notes)
    assert not any("pixels" in note for note in tabulate([a, a]).notes)


def test_holm_is_at_least_each_and_keeps_the_order() -> None:
    found = [Dependence("u", "v", "mixture", np.eye(2), (), (), 1.0, 0.0, p) for p in (0.03, 0.001, 0.5, 0.02)]
    adjusted = holm(found)
    assert adjusted == pytest.approx((0.06, 0.004, 0.5, 0.06))


def test_our_store_is_opened_by_its_first_frames(tmp_path) -> None:
    episodes = [make_episode(k, steps=3 + k) for k in range(4)]
    writer = DatasetWriter(tmp_path / "data", make_info())
    writer.write("a", episodes)
    found = open_subdataset(tmp_path / "data")
    assert len(found) == 4
    assert found.name == "data"
    for camera in ("side", "wrist"):
        assert np.array_equal(found.pictures[camera], np.stack([e.images[camera][0] for e in episodes]))
    chosen = found.choose(np.array([2, 0]))
    assert chosen.instructions == (found.instructions[2], found.instructions[0])
    DatasetWriter(tmp_path / "empty", make_info())
    with pytest.raises(AugmentError, match="no episode"):
        open_subdataset(tmp_path / "empty")


def test_an_episodes_own_camera_counts(tmp_path) -> None:
    info = make_info()
    own = asdict(info.cameras["side"]) | {"extrinsics": np.diag([1.0, -1, -1, 1]).tolist()}
    episode = make_episode(0, steps=3)
    moved = type(episode)(**{**vars(episode), "provenance": {**episode.provenance, "cameras": {"side": own}}})
    DatasetWriter(tmp_path / "data", info).write("a", [episode, moved])
    cameras = [seen["side"].extrinsics for seen in open_subdataset(tmp_path / "data").cameras]
    assert cameras[0] != cameras[1]


def test_features_have_unit_length_and_tell_pictures_apart() -> None:
    rng = np.random.default_rng(0)
    base = np.full((1, SIZE, SIZE, 3), 120, np.uint8)
    same = np.clip(base + rng.integers(-3, 4, (3, SIZE, SIZE, 3)), 0, 255).astype(np.uint8)
    other = np.concatenate([same[:, :32], 255 - same[:, 32:]], 1)
    found = classic(np.concatenate([base, same, other]))
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
    cosine = found @ found.T
    assert cosine[1:4, 1:4].min() > cosine[1:4, 4:].max()


def test_words_are_alike_where_texts_are() -> None:
    a, b, c = words(["pick up the red can", "pick up the blue can", "open the drawer"])
    assert a @ b > 0.6 > a @ c + 0.1
    assert np.linalg.norm(words(["", "  "]), axis=1) == pytest.approx(1)


def test_missing_weights_name_the_file(tmp_path) -> None:
    with pytest.raises(AugmentError, match=r"dinov2\.safetensors"):
        open_features("dinov2+siglip", str(tmp_path))
    assert open_features("auto", str(tmp_path))[0] == "classic"
    with pytest.raises(AugmentError, match="known"):
        open_features("clip")


def test_islands_can_be_told_among_hundreds_of_pairs() -> None:
    places = [(0.5, 0.05), (0.5, -0.05)]
    many = [subdataset(f"set {k}", places * 6, [-6.0, 6.0] * 6, qpos=np.zeros((12, 7))) for k in range(30)]
    found = tabulate(many).dependences(np.random.default_rng(0), permutations=99)
    told = [d for d, p in zip(found, holm(found), strict=True) if p < 0.05]
    assert {(d.u, d.v) for d in told} == {("object sideways", "camera angle")}
    assert "mixture" in {d.where for d in told}
