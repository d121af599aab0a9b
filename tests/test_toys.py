"""Laws of toys."""

import json
import pickle

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.graspable import CONTACT, VISUAL
from assets.toys import COLOURS, SHAPES, Part, Recipe, Toy, ToyError, ToySet, sample_toy, toy_mesh, toy_mjcf, toy_spec
from assets.toys.jaw import graspable, surface
from assets.toys.sampler import DENSEST, HEAVIEST, LIGHTEST, SPAN
from assets.toys.solid import inertial, solid

SEEDS = st.integers(0, 2**31)
FEW = settings(max_examples=10, deadline=None)


@pytest.fixture(scope="module")
def toys() -> ToySet:
    return ToySet.sample(3, 60)


@FEW
@given(SEEDS)
def test_same_seed_same_toy(seed: int) -> None:
    first, second = (sample_toy(np.random.default_rng(seed)) for _ in range(2))
    assert first == second
    assert np.array_equal(toy_mesh(first).vertices, toy_mesh(second).vertices)


def test_known_toy() -> None:
    """A seed gives this toy on every machine and in every release of this version of toy sets."""
    toy = ToySet.sample(7, 3)[2]
    assert [p.shape for p in toy.parts] == ["ring"]
    assert toy.parts[0].size == (0.0267, 0.004, 0.0025)


def test_no_toy_is_so_light_that_fingers_shoot_it_away(toys: ToySet) -> None:
    for toy in toys:
        assert toy.density == DENSEST or inertial(toy).mass > 0.5 * LIGHTEST  # parts overlap: the union weighs less than their sum


def test_larger_set_begins_with_the_smaller(toys: ToySet) -> None:
    assert ToySet.sample(3, 5).toys == toys.toys[:5]


def test_file_round_trip_is_exact(toys: ToySet, tmp_path) -> None:
    toys.save(tmp_path / "a" / "toys.json")
    assert ToySet.load(tmp_path / "a" / "toys.json") == toys
    assert pickle.loads(pickle.dumps(toys)) == toys


def test_toys_are_as_promised(toys: ToySet) -> None:
    for toy in toys:
        assert 1 <= len(toy.parts) <= 5
        assert SPAN[0] <= toy.extents().max() <= SPAN[1]
        assert graspable(toy.parts, 0.074)
        for last, part in zip(toy.parts, toy.parts[1:], strict=False):
            assert last.distance(np.array(part.pos)) < 0
        for part in toy.parts:
            if part.shape == "ring":
                assert part.size[2] >= 0.0025
                assert 0.0499 <= part.size[1] / part.size[0] <= 0.7001 or part.size[1] <= 0.002
    assert {p.shape for t in toys for p in t.parts} == set(SHAPES)
    assert {t.colour for t in toys} == set(COLOURS)
    assert min(t.extents().max() for t in toys) < 0.06
    assert max(t.extents().max() for t in toys) > 0.16


def test_union_is_one_watertight_solid_no_larger_than_its_parts(toys: ToySet) -> None:
    for toy in toys[:30]:
        mesh = toy_mesh(toy)
        assert mesh.is_watertight
        assert len(solid(toy).decompose()) == 1
        assert 0 < mesh.volume <= sum(p.volume for p in toy.parts) * 1.0001
        own = inertial(toy)
        assert own.mass == pytest.approx(toy.density * solid(toy).volume(), rel=1e-4)
        assert own.mass <= HEAVIEST
        assert np.linalg.eigvalsh(own.tensor).min() > 0


@pytest.mark.parametrize("shape", SHAPES)
def test_solid_of_one_part_has_its_volume(shape: str) -> None:
    size = {"sphere": (0.02,), "cuboid": (0.01, 0.02, 0.03), "cylinder": (0.02, 0.03), "ring": (0.03, 0.01, 0.003)}[shape]
    part = Part(shape, size, (0.01, 0.02, 0.03), (0.5, 0.1, 0.7, -0.3))
    own = inertial(Toy((part,)))
    assert own.mass == pytest.approx(400 * part.volume, rel=0.006)  # facets
    assert own.centre == pytest.approx(np.array(part.pos), abs=1e-6)
    assert np.abs(part.distance(surface(part))).max() < 1e-9


@FEW
@given(SEEDS)
def test_chords_agree_with_distances(seed: int) -> None:
    rng = np.random.default_rng(seed)
    part = sample_toy(rng).parts[-1]
    origins, directions = rng.uniform(-0.05, 0.05, (50, 3)) + part.pos, rng.normal(size=(50, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    runs = part.chords(origins, directions)
    for t in np.linspace(-0.2, 0.2, 41):
        inside = ((runs[..., 0] < t) & (t < runs[..., 1])).any(axis=1)
        distance = part.distance(origins + t * directions)
        clear = np.abs(distance) > 1e-6
        assert np.array_equal(inside[clear], distance[clear] < 0)


def test_ring_is_open() -> None:
    ring = Part("ring", (0.03, 0.015, 0.003))
    run = ring.chords(np.array([[0, 0, -1.0]]), np.array([[0, 0, 1.0]]))
    assert (run[..., 0] > run[..., 1]).all()
    model = Toy((ring,)).spec().compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    geom = np.empty(1, np.int32)
    for start, hit in (((0, 0, 0.1), False), ((0.0285, 0, 0.1), True)):
        for group in (VISUAL, CONTACT):
            wanted = np.zeros(6, np.uint8)
            wanted[group] = 1
            mujoco.mj_ray(model, data, np.array(start, float), np.array([0, 0, -1.0]), wanted, 1, -1, geom, None)
            assert (geom[0] >= 0) == hit


def test_specs_keep_the_contract_and_rest_on_a_plane(toys: ToySet) -> None:
    for toy in toys[:25]:
        spec = toy_spec(toy)
        assert all(mesh.name.startswith("object/") for mesh in spec.meshes)
        spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[1, 1, 0.1])
        spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
        model = spec.compile()
        body = model.body("object").id
        assert model.body_mass[body] == pytest.approx(inertial(toy).mass)
        assert model.joint("object").type[0] == mujoco.mjtJoint.mjJNT_FREE
        seen = (model.geom_bodyid == body) & (model.geom_group == VISUAL)
        touched = (model.geom_bodyid == body) & (model.geom_group == CONTACT)
        assert seen.sum() == len(toy.parts)
        assert touched.any()
        assert not model.geom_contype[seen].any()
        assert not model.geom_conaffinity[seen].any()
        data = mujoco.MjData(model)
        data.qpos[2] = max(part.reach(np.array([0, 0, -1.0])) for part in toy.parts) + 0.002
        model.dof_damping[:] = 1e-4
        for _ in range(200):
            mujoco.mj_step(model, data)
        assert np.isfinite(data.qpos).all()
        assert data.qpos[2] > -0.1
        assert np.abs(data.qvel[:3]).max() < 1.0
        assert data.ncon > 0


def test_inertia_of_the_spec_is_that_of_the_union() -> None:
    toy = next(t for t in ToySet.sample(1, 20) if len(t.parts) == 3)
    model = toy.spec().compile()
    own = inertial(toy)
    body = model.body("object").id
    assert model.body_ipos[body] == pytest.approx(own.centre, abs=1e-9)
    assert sorted(model.body_inertia[body]) == pytest.approx(sorted(np.linalg.eigvalsh(own.tensor)), rel=1e-4)


def test_mjcf_is_a_model_by_itself(toys: ToySet) -> None:
    toy = next(t for t in toys if any(p.shape == "ring" for p in t.parts))
    model = mujoco.MjModel.from_xml_string(toy_mjcf(toy))
    assert model.body("object").mass[0] == pytest.approx(inertial(toy).mass, rel=1e-4)


def test_recipe_is_followed() -> None:
    rng = np.random.default_rng(0)
    for n in range(1, 6):
        assert len(sample_toy(rng, n_parts=n).parts) == n
    only = Recipe(shapes=("cuboid", "ring"), parts=(2, 3))
    for _ in range(10):
        toy = sample_toy(rng, recipe=only)
        assert {p.shape for p in toy.parts} <= {"cuboid", "ring"}
        assert 2 <= len(toy.parts) <= 3


def test_wide_things_are_not_graspable() -> None:
    assert not graspable((Part("sphere", (0.05,)),), 0.074)
    assert not graspable((Part("cuboid", (0.05, 0.05, 0.02)),), 0.074)  # flat on the table, wide both ways
    assert graspable((Part("cuboid", (0.03, 0.05, 0.02)),), 0.074)
    assert graspable((Part("ring", (0.055, 0.02, 0.003)),), 0.074)  # at its rim
    assert not graspable((Part("cuboid", (0.03, 0.03, 0.05)), Part("cuboid", (0.08, 0.08, 0.01), (0.0, 0.0, 0.045))), 0.074)  # under a roof


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: sample_toy(np.random.default_rng(0), n_parts=0), "1 to 5"),
        (lambda: sample_toy(np.random.default_rng(0), n_parts=6), "1 to 5"),
        (lambda: Recipe(parts=(0, 3)), "1 to 5"),
        (lambda: Recipe(shapes=("torus",)), "known: sphere"),
        (lambda: Recipe(scale=(-1.0, 1.0)), "scale"),
        (lambda: Recipe(jaw=0.001), "jaw"),
        (
            lambda: sample_toy(np.random.default_rng(0), recipe=Recipe(jaw=0.03, scale=(3.0, 3.0), small=1.0, shapes=("sphere",))),
            "no graspable toy",
        ),
        (lambda: Part("sphere", (-0.01,)), "between"),
        (lambda: Part("sphere", (float("nan"),)), "finite"),
        (lambda: Part("cone", (0.01,)), "known: sphere"),
        (lambda: Part("ring", (0.01, 0.01, 0.02)), "no hole"),
        (lambda: Part("sphere", (0.01,), (9.0, 0.0, 0.0)), "origin"),
        (lambda: Part("sphere", (0.01,), quat=(0.0, 0.0, 0.0, 0.0)), "rotation"),
        (lambda: Toy(()), "1 to 5"),
        (lambda: Toy((Part("sphere", (0.01,)),), colour="pink"), "known: red"),
        (lambda: Toy((Part("sphere", (0.01,)),), name="../x"), "file names"),
        (lambda: Toy((Part("sphere", (0.01,)), Part("sphere", (0.01,), (0.05, 0.0, 0.0)))), "outside part 0"),
        (lambda: ToySet.sample(0, 0), "toys=0"),
        (lambda: ToySet.sample(-1, 1), "seed"),
    ],
)
def test_impossible_toys_are_refused(make, said: str) -> None:
    with pytest.raises(ToyError, match=said):
        make()


GOOD = {
    "name": "t",
    "colour": "red",
    "density": 400,
    "parts": [{"shape": "sphere", "size": [0.01], "pos": [0, 0, 0], "quat": [1, 0, 0, 0]}],
}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "no toy set"),
        (json.dumps({"version": 99, "seed": 0, "toys": [GOOD]}), "version 99"),
        (json.dumps({"version": 1, "seed": 0, "toys": []}), "1 to"),
        (json.dumps({"version": 1, "seed": "x", "toys": [GOOD]}), "seed"),
        (json.dumps({"version": 1, "seed": 0, "toys": [GOOD | {"parts": GOOD["parts"] * 1000}]}), "toy 0: 1000 parts"),
        (json.dumps({"version": 1, "seed": 0, "toys": [GOOD, 3]}), "toy 1 is malformed"),
        (json.dumps({"version": 1, "seed": 0, "toys": [GOOD | {"density": float("nan")}]}), "density"),
        (json.dumps({"version": 1, "seed": 0, "toys": [{"name": "t"}]}), "malformed"),
        (json.dumps({"version": 1, "seed": 0, "toys": [GOOD | {"name": 5}]}), "malformed"),
        (json.dumps({"version": 1, "seed": 0, "toys": [GOOD | {"colour": []}]}), "malformed"),
        (json.dumps({"version": 1, "seed": 0, "toys": [GOOD | {"parts": [GOOD["parts"][0] | {"size": [float("nan")]}]}]}), "finite"),
        (json.dumps({"version": 1, "seed": 0, "toys": [GOOD | {"parts": [GOOD["parts"][0] | {"size": [10**400]}]}]}), "malformed"),
        (json.dumps({"version": 1, "seed": 0, "toys": [GOOD | {"parts": [GOOD["parts"][0] | {"shape": {}}]}]}), "malformed"),
    ],
)
def test_hostile_files_are_refused_in_one_line(text: str, said: str, tmp_path) -> None:
    path = tmp_path / "toys.json"
    path.write_text(text)
    with pytest.raises(ToyError, match=said) as caught:
        ToySet.load(path)
    assert "\n" not in str(caught.value)


def test_missing_file_is_one_line(tmp_path) -> None:
    with pytest.raises(ToyError, match="cannot be read"):
        ToySet.load(tmp_path / "nothing.json")
