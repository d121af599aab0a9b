"""What a policy was trained for, and what it must therefore be given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from episodes.errors import StoreError
from episodes.info import CameraInfo, DatasetInfo
from hardware.api import Observation
from policies.errors import PolicyError

UNITS = {"qpos": "rad", "gripper": "0 closed to 1 open", "images": "RGB uint8, row 0 on top", "time": "s"}
CONTROL = "absolute joint targets"


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
            raise PolicyError(f"the policy needs camera {', '.join(map(repr, unknown))}; there are {', '.join(map(repr, other.cameras))}")
        for name, what in (("embodiment", "robot"), ("joints", "joints"), ("gripper", "gripper values"), ("size", "picture size")):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                raise PolicyError(f"the policy was trained with {what} {mine!r}, here it is {theirs!r}")
        if abs(self.dt - other.dt) > 1e-6:
            raise PolicyError(f"the policy was trained at a control period of {self.dt:g} s, here it is {other.dt:g} s")

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
            if data.get(name) != ours:
                raise PolicyError(f"contract.json: {name} {data.get(name)!r} is not {ours!r}")
        try:
            cameras, joints = tuple(map(str, data["cameras"])), tuple(map(str, data["joints"]))
            height, width = (int(x) for x in data["size"])
            numbers = {name: int(data[name]) for name in ("gripper", "chunk", "execute", "history")}
            views = {str(name): CameraInfo(**view) for name, view in dict(data.get("views", {})).items()}
            embodiment, dt = str(data["embodiment"]), float(data["dt"])
            contract = Contract(cameras, (height, width), joints, embodiment=embodiment, dt=dt, views=views, **numbers)
        except (KeyError, TypeError, ValueError, StoreError) as error:
            raise PolicyError(f"contract.json: missing or wrong {error}") from None
        if not cameras or not joints or min(height, width, *numbers.values()) < 1 or not contract.dt > 0:
            raise PolicyError("contract.json: cameras and joints must be named, and every number above 0")
        if not set(views) <= set(cameras):
            raise PolicyError(f"contract.json: views of {', '.join(sorted(views))}; its cameras are {', '.join(cameras)}")
        return contract

    def with_policy(self, chunk: int, execute: int, history: int) -> Contract:
        """The same robot and cameras, for a policy."""
        return replace(self, chunk=chunk, execute=execute, history=history)
