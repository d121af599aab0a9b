"""`cezanne record`: a person moves an arm, simulated or physical, and what is seen and done becomes episodes to train on."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from assets.graspable import Graspable
from assets.toys import sample_toy
from deploy.cameras.mounts import as_contract
from deploy.errors import DeployError
from deploy.motion import go_home
from deploy.person import say
from deploy.recorder import Manner, record_episodes
from deploy.rig import Rig, RigConfig, limits_of, open_rig
from episodes import CameraInfo, DatasetInfo, DatasetWriter, open_dataset
from hardware.api import Action, Observation, Robot, RobotError
from hardware.blackbox import BlackBox, BoxPlan, RecordedWatch
from hardware.blackbox_file import dump
from hardware.calibration import load_calibration
from hardware.camera import Camera
from hardware.camera_watch import CameraWatch
from hardware.cameras.fit import Fit
from hardware.catalogue import find_robot
from hardware.jog import Control, Rates, Teleop
from hardware.place import forbidden_place
from hardware.segmenter import Box, Click, Prompt, Words
from hardware.session import Session, session
from hardware.station import Station
from hardware.teleop import Beside, find_device
from policies.contract import Contract
from sim.camera import SIDE, WRIST, described
from sim.errors import PlacementError

_PICTURES = 2.0
"""Pictures a second that the black box keeps [Hz]."""


@dataclass
class RecordConfig(RigConfig):
    """Demonstrations by hand: a data set of the form that `cezanne collect` writes."""

    teleop: str = "keyboard"
    """keyboard, gamepad or leader."""
    device: dict[str, Any] = field(default_factory=dict)
    """Settings of the device, as in device.address=/dev/input/js1."""
    out: str = "data/mine"
    """Folder of the data set; one of the same contract is continued."""
    target: str = "the object"
    """What is picked up, in words."""
    click: dict[str, list[int]] = field(default_factory=dict)
    """Pixels on the target by camera instead, as in click.side=[64,70]."""
    box: dict[str, list[int]] = field(default_factory=dict)
    """Boxes around the target by camera instead: x0, y0, x1, y1."""
    calibration: dict[str, str] = field(default_factory=dict)
    """Of physical cameras, what `cezanne calibrate` wrote, as in calibration.side=side.json: a data set tells where its cameras stand."""
    episodes: int = 0
    """How many to store; 0: until Ctrl-D."""
    rate: float = 20.0
    """Steps a second [Hz]."""
    size: int = 128
    """Pictures are square, this many pixels a side."""
    seconds: float = 60.0
    """Longest episode [s]."""
    pause: float = 0.5
    """Longest rest that is kept: what a person takes to think is cut out [s]."""
    speed: float | None = None
    """Share of the arm's speed; by default 0.25 of a physical arm's, 0.5 in a simulated world."""
    linear: float = 0.10
    """Speed of the tool under keys and sticks [m/s]."""
    angular: float = 0.6
    """[rad/s]"""
    limits: dict[str, float] = field(default_factory=dict)
    """Safety limits that differ from the plain ones, as in limits.contact=0.5."""
    seed: int = 0
    """Of the toys in simulated worlds, and of where they lie."""
    stops: str = "runs/record"
    """Folder of the black boxes."""

    def __post_init__(self) -> None:
        if not 1 <= self.rate <= 100:
            raise DeployError(f"rate={self.rate}; 1 to 100 steps a second")
        if not 32 <= self.size <= 1024:
            raise DeployError(f"size={self.size}; pictures have 32 to 1024 px a side")
        if self.speed is not None and not 0 < self.speed <= 1:
            raise DeployError(f"speed={self.speed}; above 0 and at most 1")
        if self.seed < 0:
            raise DeployError(f"seed={self.seed} cannot be negative")
        self.manner()

    def manner(self) -> Manner:
        """How episodes are recorded. Raises DeployError, RobotError."""
        about = {"teleop": self.teleop, "robot": self.robot, "target": self.target}
        rates = Rates(linear=self.linear, angular=self.angular)
        return Manner(f"pick up {self.target}", self.seconds, self.pause, self.episodes, rates, about)


def run(cfg: RecordConfig) -> dict[str, Any]:
    """Records, and says what the data set then holds."""
    simulated = find_robot(cfg.robot).simulated
    names = (SIDE.name, WRIST.name) if simulated else tuple(cfg.cameras)
    if not names:
        raise DeployError(f"robot={cfg.robot} needs cameras: cameras.side=opencv:/dev/video0 calibration.side=side.json")
    device = device_of(cfg)
    wanted = Contract(names, (cfg.size, cfg.size), (), 1, cfg.robot, 1 / cfg.rate)
    with _hangup(), contextlib.closing(device.open()) as control, open_rig(cfg, wanted, _toy(cfg, 0) if simulated else None) as rig:
        info = info_of(cfg, rig, names)
        writer = DatasetWriter(cfg.out, info)
        speed = cfg.speed if cfg.speed is not None else (0.5 if simulated else 0.25)
        limits = limits_of(rig.driver, speed, cfg.limits, simulated=simulated)
        for line in (*limits.lines(), *device.help.splitlines()):
            say(line)
        joints = tuple(joint.name for joint in rig.driver.arm.joints)
        box = BlackBox(BoxPlan(joints, dict.fromkeys(names, (cfg.size, cfg.size)), rig.driver.servo_hz, 2 * _PICTURES, 1, info.gripper))
        with session(rig.driver, limits=limits, recorder=box) as arm:
            watch = RecordedWatch(CameraWatch(max_age=2.0 if simulated else 0.5, repeats=None if simulated else 10), box)
            station = Station(arm, rig.cameras, rig.segmenter, watch)
            try:
                summary = _record(cfg, rig, station, control, writer, box)
            finally:
                station.close()
                _keep(cfg, arm, box)
    held = open_dataset(cfg.out)
    return {**summary, "data": cfg.out, "data_episodes": len(held), "data_steps": int(held.lengths.sum())}


def device_of(cfg: RecordConfig) -> Teleop:
    """The device; where it is not the keyboard, the terminal's buttons count beside it. Raises RobotError."""
    device = find_device(cfg.teleop, cfg.device)
    return Beside(device, find_device("keyboard")) if cfg.teleop != "keyboard" and sys.stdin.isatty() else device


def info_of(cfg: RecordConfig, rig: Rig, names: tuple[str, ...]) -> DatasetInfo:
    """The contract of the data set. Raises DeployError, RobotError where a camera is not calibrated."""
    arm = rig.driver.arm
    if rig.world is not None:
        cameras = {camera.name: described(camera, cfg.size) for camera in (SIDE, WRIST)}
    else:
        cameras = {camera.name: _calibrated(camera, cfg.calibration.get(camera.name, "")) for camera in rig.cameras}
    made_by = {"cezanne": importlib.metadata.version("cezanne"), "settings": dataclasses.asdict(cfg)}
    return DatasetInfo(cfg.rate, arm.robot, tuple(joint.name for joint in arm.joints), cameras, arm.gripper, fingerprint=made_by)


def _calibrated(camera: Camera, path: str) -> CameraInfo:
    name = camera.name
    if not path:
        raise DeployError(f"camera {name!r} has no calibration: `cezanne calibrate` makes one; name it: calibration.{name}={name}.json")
    found = load_calibration(path)
    found.check(name, "", found.intrinsics.size)
    return as_contract(found, Fit(camera.size, getattr(camera, "rotate", 0)))


def _record(cfg: RecordConfig, rig: Rig, station: Station, control: Control, writer: DatasetWriter, box: BlackBox) -> dict[str, Any]:
    station.connect()
    arm = station.arm
    return record_episodes(
        _Pictured(station, box, arm.clock.now),
        control,
        writer,
        arm.clock,
        rig.driver.arm,
        cfg.manner(),
        prepare=lambda number: _prepare(cfg, rig, station, number),
        stopped=lambda: arm.stopped,
        clear=arm.clear,
        forbidden=lambda qpos: forbidden_place(arm.limits, qpos),
        say=say,
    )


def _prepare(cfg: RecordConfig, rig: Rig, station: Station, number: int) -> Mapping[str, Any]:
    """Lays a toy where the world is simulated, and finds the target. Raises RobotError, SegmenterError, DeployError."""
    arm, about = station.arm, {}
    arm.hold()
    if rig.world is not None:
        go_home(arm)
        rng = np.random.default_rng([cfg.seed, number])
        xy = rng.uniform(-0.1, 0.1, 2)
        try:
            rig.world.place(_toy(cfg, number), xy, int(rng.integers(2**31)))
        except PlacementError as error:
            raise DeployError(f"{error}; start again") from error
        about = {"toy": number, "seed": cfg.seed, "xy": xy.tolist()}
    _fresh(station)
    found = station.aim(_prompts(cfg, tuple(camera.name for camera in station.cameras)))
    if not any(seen.mask.any() for seen in found.values()):
        raise DeployError(f"no camera sees {cfg.target!r}")
    return about


def _prompts(cfg: RecordConfig, names: tuple[str, ...]) -> Mapping[str, Prompt]:
    prompts: dict[str, Prompt] = dict.fromkeys(names, Words(cfg.target))
    prompts |= {name: Click(int(x), int(y)) for name, (x, y) in cfg.click.items()}
    prompts |= {name: Box(int(x0), int(y0), int(x1), int(y1)) for name, (x0, y0, x1, y1) in cfg.box.items()}
    return prompts


def _fresh(station: Station) -> None:
    """Waits for pictures that are younger than now."""
    now = station.arm.clock.now()
    while station.newest() <= now:
        if station.arm.clock.now() - now > 5:
            raise RobotError("the cameras send nothing new")
        time.sleep(0.01)


def _toy(cfg: RecordConfig, number: int) -> Graspable:
    return sample_toy(np.random.default_rng([cfg.seed, number]))  # as `cezanne toys` numbers them


def _keep(cfg: RecordConfig, arm: Session, box: BlackBox) -> None:
    """Writes the black box where there was a stop; where that fails, says so."""
    if arm.stopped is None:
        return
    try:
        say(f"black box: {dump(box, Path(cfg.stops), arm.stopped, {'robot': cfg.robot, 'teleop': cfg.teleop, 'target': cfg.target})}")
    except RobotError as error:
        say(str(error))


@dataclass
class _Pictured:
    """A robot whose black box sees now and then what it sees."""

    robot: Robot
    box: BlackBox
    now: Callable[[], float]
    due: float = 0.0
    number: int = 0

    def connect(self) -> None:
        """The robot's."""
        self.robot.connect()

    def observe(self) -> Observation:
        """The robot's."""
        seen, now = self.robot.observe(), self.now()
        if now >= self.due:
            self.due, self.number = now + 1 / _PICTURES, self.number + 1
            self.box.asked(self.number, seen, now)
        return seen

    def command(self, action: Action) -> Action:
        """The robot's."""
        return self.robot.command(action)

    def stop(self) -> None:
        """The robot's."""
        self.robot.stop()


@contextlib.contextmanager
def _hangup() -> Iterator[None]:
    """A terminal that is closed, or an ssh that is cut, ends the program as Ctrl-C does: the arm comes to rest."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGHUP, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)
