"""What a deployment runs on: an arm's driver, its cameras, what finds the target, and the world where it is simulated."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from assets.graspable import Graspable
from deploy.errors import DeployError
from hardware.arm import Driver
from hardware.camera import Camera
from hardware.cameras import open_camera
from hardware.catalogue import find_robot, open_driver
from hardware.limits import Limits
from hardware.model import load_arm
from hardware.segmenter import Segmenter
from policies.contract import Contract
from policies.segmenters import open_segmenter
from policies.segmenters.words import Detector
from sim.camera import FILM, SIDE, WRIST, described
from sim.live import LiveWorld
from sim.scene import SceneConfig


@dataclass(frozen=True)
class Rig:
    """An arm that can be connected to, and what looks at its table."""

    driver: Driver
    cameras: Sequence[Camera]
    """In the order of the contract."""
    segmenter: Segmenter
    world: LiveWorld | None = None
    """Where it is simulated: places objects, and knows where they are."""


@dataclass
class RigConfig:
    """Which arm, which cameras, which segmenter."""

    robot: str = "sim"
    """`cezanne robots` lists them."""
    address: str = ""
    """Of the arm: host name, or serial port; empty: the driver's own."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Further fields of the driver, as in settings.gripper=none."""
    cameras: dict[str, str] = field(default_factory=dict)
    """Physical cameras by the contract's names, as in cameras.side=opencv:/dev/video0 cameras.wrist=realsense:831612071234."""
    segmenter: str = ""
    """truth, tabletop or sam2; empty: truth where the world is simulated, else tabletop."""
    segment: dict[str, Any] = field(default_factory=dict)
    """Settings of the segmenter, as in segment.model=FOLDER segment.device=cuda."""
    detector: str = ""
    """An OWLv2 or Grounding DINO model, a folder or a name on the hub: finds what words name, for segmenters that follow it then."""
    camera_hz: float = 20.0
    """Frames a second of simulated cameras."""


def check_cameras(cfg: RigConfig, contract: Contract) -> None:
    """Raises DeployError unless every camera of the contract is named, and no other."""
    if find_robot(cfg.robot).simulated:
        if not 1 <= cfg.camera_hz <= 200:
            raise DeployError(f"camera_hz={cfg.camera_hz}; 1 to 200 frames a second")
        if cfg.address or (cfg.robot == "sim" and cfg.settings):
            raise DeployError(f"robot={cfg.robot} has no address" + (" and no settings" if cfg.robot == "sim" else ""))
        if cfg.cameras:
            raise DeployError(f"robot={cfg.robot} brings its own cameras; leave cameras.{next(iter(cfg.cameras))} out")
        return
    missing = [name for name in contract.cameras if name not in cfg.cameras]
    if missing:
        names = ", ".join(contract.cameras)
        raise DeployError(f"the policy was trained with cameras {names}; say which is which: cameras.{missing[0]}=opencv:/dev/video0")
    strange = [name for name in cfg.cameras if name not in contract.cameras]
    if strange:
        raise DeployError(f"camera {strange[0]!r} is none of the policy's: {', '.join(contract.cameras)}")


@contextlib.contextmanager
def open_rig(cfg: RigConfig, contract: Contract, item: Graspable | None) -> Iterator[Rig]:
    """The rig of a configuration; simulated worlds run for as long as the block. `item` lies in a simulated world first.

    Raises DeployError, RobotError.
    """
    check_cameras(cfg, contract)
    row = find_robot(cfg.robot)
    segmenter = segmenter_of(cfg, simulated=row.simulated)
    if not row.simulated:
        height, width = contract.size
        cameras = tuple(open_camera(name, cfg.cameras[name], (width, height)) for name in contract.cameras)
        yield Rig(open_driver(cfg.robot, cfg.address, cfg.settings), cameras, segmenter)
        return
    if item is None:
        raise DeployError(f"robot={cfg.robot} needs an object to lie in its world")
    known = {camera.name: camera for camera in (SIDE, WRIST, FILM)}
    strange = [name for name in contract.cameras if name not in known]
    if strange:
        raise DeployError(f"the policy wants camera {strange[0]!r}; the simulated scene has {', '.join(known)}")
    scene = SceneConfig(item, tuple(known[name] for name in contract.cameras), size=contract.size[0])
    if cfg.robot == "sim":
        with LiveWorld(scene, camera_hz=cfg.camera_hz) as world:
            yield Rig(world, world.cameras(), segmenter, world)
        return
    from deploy.franka_world import FrankaLeader
    from hardware.emulators.franka import FrankaSim

    with FrankaSim() as emulator, LiveWorld(scene, camera_hz=cfg.camera_hz, leader=FrankaLeader(Path(emulator.path))) as world:
        driver = open_driver("franka", emulator.address, {"realtime": "ignore", **cfg.settings})
        yield Rig(driver, world.cameras(), segmenter, world)


def segmenter_of(cfg: RigConfig, *, simulated: bool) -> Segmenter:
    """What finds and follows the target; loads nothing. Raises SegmenterError for a setting that it has not."""
    settings = dict(cfg.segment)
    if cfg.detector:
        settings["detector"] = Detector(cfg.detector, str(settings.get("device", "cpu")))
    return open_segmenter(cfg.segmenter or ("truth" if simulated else "tabletop"), **settings)


def limits_of(driver: Driver, speed: float, changes: Mapping[str, Any], *, simulated: bool) -> Limits:
    """The limits of an arm at a speed. In a simulated world a busy machine is no fault, and a stiff servo no contact."""
    plain: dict[str, Any] = {"state_age": 1.0, "heartbeat": 1.0, "contact": 2.0} if simulated else {}
    known = set(Limits.__dataclass_fields__) - {"arm", "speed", "workspace"}
    strange = [name for name in changes if name not in known]
    if strange:
        raise DeployError(f"limits.{strange[0]} is not known; known: {', '.join(sorted(known))}")
    values = plain | {name: float(value) for name, value in changes.items()}
    return replace(Limits(driver.arm, speed=speed), **values)


def contract_of(driver: Driver, cameras: Sequence[Camera], dt: float, *, simulated: bool = False) -> Contract:
    """What the rig offers, to be compared with what the policy wants. Of simulated cameras it is known where they stand."""
    sizes = {camera.size for camera in cameras}
    if len(sizes) != 1:
        raise DeployError(f"cameras of different sizes: {', '.join(f'{c.name} {c.size[0]}x{c.size[1]}' for c in cameras)}")
    width, height = sizes.pop()
    arm = driver.arm
    names = tuple(camera.name for camera in cameras)
    views = {camera.name: described(camera, height) for camera in (SIDE, WRIST) if camera.name in names} if simulated else {}
    return Contract(names, (height, width), tuple(joint.name for joint in arm.joints), arm.gripper, arm.robot, dt, views=views)


def home_of(name: str) -> np.ndarray:
    """Where an arm begins, (n,) [rad]."""
    return np.array(load_arm(name).home)
