"""What a policy was trained for, and what it must therefore be given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from episodes.errors import StoreError
from episodes.info import CameraInfo, DatasetInfo, check_name
from hardware.api import Observation
from policies.errors import PolicyError
from policies.guard.folder import shown
from policies.guard.table import read_table
from policies.views import check_views, found_at

UNITS = {"qpos": "rad", "gripper": "0 closed to 1 open", "images": "RGB uint8, row 0 on top", "time": "s"}
CONTROL = "absolute joint targets"
MOST = {"cameras": 64, "joints": 1000, "gripper": 1000, "chunk": 1024, "execute": 1024, "history": 256, "pixels": 8192}
"""Of each, in a contract that is read."""


@dataclass(frozen=True)
class Contract:
    """Compared before the first step, so that a policy never moves an arm it does not know."""

    cameras: tuple[str, ...]
    """In the order of the network."""
    size: tuple[int, int]
    """Height and width of every picture [px]."""
    joints: tuple[str, ...]
    """Names of the arm's joints, in order."""
    gripper: int
    """Values of the gripper."""
    embodiment: str
    """Name of the robot."""
    dt: float
    """Control period [s]."""
    chunk: int = 16
    """Actions per prediction."""
    execute: int = 8
    """Actions carried out before the next prediction."""
    history: int = 1
    """Observations a prediction rests on, `execute` steps apart."""
    views: Mapping[str, CameraInfo] = field(default_factory=dict)
    """Where the cameras stood, by name, and their lenses: compared before a physical arm moves; empty where nobody knows."""

    @staticmethod
    def of_dataset(info: DatasetInfo) -> Contract:
        """The robot and cameras of a dataset. Raises PolicyError."""
        sizes = {(camera.height, camera.width) for camera in info.cameras.values()}
        if len(sizes) != 1:
            raise PolicyError(f"cameras must share one picture size, the dataset has {sorted(sizes) or 'no camera'}")
        return Contract(tuple(info.cameras), sizes.pop(), info.joints, info.gripper, info.robot, 1 / info.fps, views=dict(info.cameras))

    def check(self, other: Contract) -> None:
        """Raises PolicyError unless this policy can run where `other` (from a scene or a dataset) holds."""
        unknown = [c for c in self.cameras if c not in other.cameras]
        if unknown:
            needs, has = (", ".join(map(repr, names)) for names in (unknown, other.cameras))
            at = {c: found_at(self.views[c], other.views) for c in unknown if c in self.views}
            hint = "".join(f"; {c!r} stands where {names[0]!r} does: another name for one camera?" for c, names in at.items() if names)
            raise PolicyError(f"the policy needs camera {needs}; there are {has}{hint}")
        for name, what in (("embodiment", "robot"), ("joints", "joints"), ("gripper", "gripper values"), ("size", "picture size")):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                raise PolicyError(f"the policy was trained with {what} {mine!r}, here it is {theirs!r}")
        if abs(self.dt - other.dt) > 1e-6:
            raise PolicyError(f"the policy was trained at a control period of {self.dt:g} s, here it is {other.dt:g} s")
        check_views(self.views, other.views)

    def check_observation(self, observation: Observation) -> None:
        """Raises PolicyError unless the observation holds what the policy was trained with."""
        for kind, pictures, shape in (("picture", observation.images, (*self.size, 3)), ("mask", observation.masks, self.size)):
            for camera in self.cameras:
                if camera not in pictures:
                    there = ", ".join(map(repr, pictures)) or "none"
                    raise PolicyError(f"the observation has no {kind} of camera {camera!r}; it has {there}")
                if (given := pictures[camera].shape) != shape:
                    raise PolicyError(f"the {kind} of camera {camera!r} has shape {given}, the policy was trained with {shape}")
        for name, value, n in (("qpos", observation.qpos, len(self.joints)), ("gripper", observation.gripper, self.gripper)):
            if value.shape != (n,):
                raise PolicyError(f"the observation's {name} has shape {value.shape}, the policy was trained with {(n,)}")

    def to_json(self) -> dict[str, object]:
        """A table, with what is fixed by the vocabulary spelled out."""
        return asdict(self) | {"control": CONTROL, "units": UNITS}

    @staticmethod
    def from_json(data: object) -> Contract:
        """Raises PolicyError."""
        if not isinstance(data, Mapping):
            raise PolicyError("contract.json holds no table")
        for name, ours in (("control", CONTROL), ("units", UNITS)):
            if (said := data.get(name)) != ours:
                raise PolicyError(f"contract.json: {name} {shown(repr(said))} is not {ours!r}")
        try:
            cameras, joints = _names(data, "cameras"), _names(data, "joints")
            height, width = (_count(x, "pixels") for x in data["size"])
            numbers = {name: _count(data[name], name) for name in ("gripper", "chunk", "execute", "history")}
            views = {name: _view(view, (height, width)) for name, view in dict(data.get("views", {})).items()}
            contract = Contract(
                cameras, (height, width), joints, embodiment=_name(data["embodiment"]), dt=_real(data["dt"]), views=views, **numbers
            )
            for camera in cameras:
                check_name("camera", camera)
        except (KeyError, TypeError, ValueError, OverflowError, StoreError) as error:
            raise PolicyError(f"contract.json: missing or wrong {shown(error)}") from None
        if not 1e-4 <= contract.dt <= 10:
            raise PolicyError(f"contract.json: a control period dt={contract.dt:g} s; 0.0001 to 10 s")
        if not set(views) <= set(cameras):
            raise PolicyError(f"contract.json: views of {shown(', '.join(sorted(views)))}; its cameras are {', '.join(cameras)}")
        return contract

    def with_policy(self, chunk: int, execute: int, history: int) -> Contract:
        """The same robot and cameras, for a policy."""
        return replace(self, chunk=chunk, execute=execute, history=history)


def read_contract(checkpoint: Path) -> Contract:
    """What a checkpoint folder says that its policy was trained for; imports no torch. Raises PolicyError."""
    try:
        return Contract.from_json(read_table(checkpoint / "contract.json"))
    except PolicyError as error:
        raise PolicyError(f"checkpoint {checkpoint}: {error}") from None


def _names(data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found = data[key]
    if not isinstance(found, list) or not 1 <= len(found) <= MOST[key]:
        raise ValueError(f"{key}; 1 to {MOST[key]} names are wanted")
    names = tuple(_name(one) for one in found)
    if len(set(names)) < len(names):
        raise ValueError(f"{key}: {', '.join(names)}; each has a name of its own")
    return names


def _name(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable() or not 1 <= len(value) <= 128:
        raise ValueError(f"{value!r}; a name of 1 to 128 letters is wanted")
    return value


def _count(value: object, name: str) -> int:
    if type(value) is not int or not 1 <= value <= MOST[name]:
        raise ValueError(f"{name} {value!r}; a whole number from 1 to {MOST[name]} is wanted")
    return value


def _real(value: object) -> float:
    if type(value) not in (int, float):
        raise ValueError(f"{value!r}; a number is wanted")
    return float(value)  # pyright: ignore[reportArgumentType]


def _view(value: Any, size: tuple[int, int]) -> CameraInfo:
    view = CameraInfo(**value)
    if (view.height, view.width) != size:
        raise ValueError(f"view of {view.height} x {view.width} px; its pictures have {size[0]} x {size[1]} px")
    if not 0 < _real(view.fovy) < 180:
        raise ValueError(f"view of {view.fovy!r} deg; above 0 and below 180 is wanted")
    _name(view.body)
    return view
