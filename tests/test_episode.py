"""An Episode is checked when made, and says what was given."""

import numpy as np
import pytest
from episode_samples import make_episode, make_info

from episodes import DatasetInfo, EpisodeError, StoreError


def test_length_is_the_number_of_steps():
    assert len(make_episode(steps=5)) == 5


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("actions", np.zeros((7, 8)), "actions must be float32 (7, 8), got float64 (7, 8)"),
        ("actions", np.zeros((7, 7), np.float32), "got float32 (7, 7)"),
        ("sent", np.zeros((6, 8), np.float32), "sent must be float32 (7, 8)"),
        ("labelled", np.ones(7, np.uint8), "labelled must be bool (7), got uint8"),
        ("state", np.zeros((7, 32)), "state must be float64 (8, any), got float64 (7, 32)"),
        ("qpos", np.zeros((0, 7), np.float32), "T >= 1"),
        ("qpos", [[0.0] * 7] * 7, "qpos must be an array, got list"),
        ("images", {"side": np.zeros((7, 32, 32, 3), np.uint8)}, "pictures of side, but masks of side, wrist"),
        ("dt", 0.0, "dt=0.0 s"),
        ("provenance", {"rng": np.random.default_rng(0)}, "provenance must be JSON"),
        ("provenance", {"score": float("nan")}, "provenance must be JSON"),
    ],
)
def test_what_does_not_fit_is_refused(field, value, said):
    with pytest.raises(EpisodeError) as caught:
        make_episode(**{field: value})
    assert said in str(caught.value)


@pytest.mark.parametrize("field", ["qpos", "gripper", "actions", "sent", "state"])
def test_what_is_not_finite_is_refused(field):
    values = getattr(make_episode(), field).copy()
    values[3, 0] = np.nan
    with pytest.raises(EpisodeError, match=f"{field} must be finite, got nan at step 3"):
        make_episode(**{field: values})


def test_a_mask_must_fit_its_picture():
    masks = {"side": np.zeros((7, 32, 31), bool), "wrist": np.zeros((7, 24, 29), bool)}
    with pytest.raises(EpisodeError, match=r"masks\['side'\] must be bool \(7, 32, 32\)"):
        make_episode(masks=masks)


def test_info_survives_json():
    info = make_info()
    assert DatasetInfo.from_json(info.to_json(), "here") == info


def test_contracts_differ_in_what_is_named():
    assert make_info().differences(make_info(fingerprint={"mujoco": "4"})) == []
    assert make_info().differences(make_info(robot="ur5e")) == ["robot: panda and ur5e"]


@pytest.mark.parametrize("raw", [None, [], {}, {"version": 1}, {"version": 1, "cameras": 3}, make_info().to_json() | {"fps": -1}])
def test_malformed_descriptions_are_refused(raw):
    with pytest.raises(StoreError, match="here does not describe a dataset"):
        DatasetInfo.from_json(raw, "here")


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "x" * 129])
def test_camera_names_are_safe_as_files(name):
    with pytest.raises(StoreError, match="camera name"):
        make_info({name: (8, 8)})
