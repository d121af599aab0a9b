"""Physical cameras without one: OpenCV's reader on files and a made-up device, RealSense's package imitated, faults of streams."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest

from hardware.api import RobotError
from hardware.camera import Frame
from hardware.camera_watch import CameraWatch
from hardware.cameras import open_camera
from hardware.cameras.fit import TURNS, Fit
from hardware.cameras.opencv import OpenCV, serial
from hardware.cameras.realsense import RealSense
from hardware.cameras.recorded import Recorded
from hardware.cameras.stamp import capture_time
from hardware.reason import Reason

SIZE = (32, 24)
SIZES = {"side": SIZE}


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("camera-"):
            thread.join(3.0)
            assert not thread.is_alive(), f"{thread.name} is left"


class Device:
    """Stands in for cv2.VideoCapture on a device: a picture each 5 ms until it is unplugged."""

    made: ClassVar[list[Device]] = []
    unplugged = threading.Event()
    hangs = threading.Event()
    stamps = "monotonic"

    def __init__(self, target: Any, backend: int = 0) -> None:
        self.target, self.backend, self.asked, self.released = target, backend, {}, False
        self.there = target == 0 or target == "/dev/video7"
        self.count = 0
        Device.made.append(self)

    def isOpened(self) -> bool:
        return self.there

    def set(self, key: int, value: float) -> bool:
        self.asked[key] = value
        return True

    def get(self, key: int) -> float:
        if key != cv2.CAP_PROP_POS_MSEC:
            return 0.0
        taken = {"monotonic": time.monotonic() - 0.03, "wall": time.time() - 0.03, "none": 0.0, "uptime": 12.5}[Device.stamps]
        return 1000 * taken

    def grab(self) -> bool:
        time.sleep(0.005)
        while Device.hangs.is_set():
            time.sleep(0.01)
        return not Device.unplugged.is_set()

    def retrieve(self) -> tuple[bool, np.ndarray]:
        self.count += 1
        picture = np.zeros((48, 64, 3), np.uint8)
        picture[..., 0], picture[..., 1] = 200, self.count % 256  # blue, in OpenCV's order
        return True, picture

    def release(self) -> None:
        self.released = True


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch):
    Device.made, Device.stamps = [], "monotonic"
    Device.unplugged.clear()
    Device.hangs.clear()
    monkeypatch.setattr(cv2, "VideoCapture", Device)
    yield Device
    Device.hangs.clear()


def until(true: Any, patience: float = 5.0) -> None:
    end = time.monotonic() + patience
    while not true():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.005)


def raises(stream: Any) -> bool:
    try:
        stream.latest()
    except RobotError:
        return True
    return False


# --- from a line of text


def test_a_line_names_a_camera_and_its_settings() -> None:
    camera = open_camera("side", "opencv:/dev/video0?rotate=180&capture=1280x720&fps=30", SIZE)
    assert camera == OpenCV("/dev/video0", "side", SIZE, capture=(1280, 720), fps=30.0, rotate=180)
    assert open_camera("side", "recorded:some/folder?loop=true", SIZE) == Recorded("some/folder", "side", SIZE, loop=True)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("/dev/video0", "cannot read '/dev/video0'.*opencv, realsense, recorded"),
        ("webcam:0", "cannot read 'webcam:0'"),
        ("opencv:", "needs a number or a device"),
        ("opencv:0?turn=90", "no setting 'turn=90'; it has: capture=, fps=, rotate="),
        ("opencv:0?rotate", "no setting 'rotate'"),
        ("opencv:0?name=wrist", "no setting 'name=wrist'"),
        ("opencv:0?rotate=45", "rotate=45.*0, 90, 180, 270"),
        ("opencv:0?rotate=left", "rotate=left should be a whole number"),
        ("opencv:0?capture=big", "capture=big should be WIDTHxHEIGHT"),
        ("recorded:x?loop=maybe", "loop=maybe should be true or false"),
        ("opencv:0?silence=0", "silence is 0.0; it may be"),
    ],
)
def test_what_cannot_be_a_camera_is_refused_by_name(spec: str, said: str) -> None:
    with pytest.raises(RobotError, match=said):
        open_camera("side", spec, SIZE)


def test_a_camera_without_pixels_is_refused() -> None:
    with pytest.raises(RobotError, match="0 x 24 px"):
        open_camera("side", "opencv:0", (0, 24))


# --- fit


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("taken", [(64, 48), (48, 64), (50, 50)])
def test_a_fit_says_where_its_pixels_go(turn: int, taken: tuple[int, int]) -> None:
    fit = Fit((32, 32), turn)
    x, y = np.meshgrid(np.arange(taken[0]), np.arange(taken[1]))
    rng = np.random.default_rng(0)
    for _ in range(5):  # a soft spot, found again where `pixels` says
        spot = np.array(taken) / 2 + rng.uniform(-14, 14, 2)
        image = np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / 18)
        out = fit.apply(np.repeat((255 * image).astype(np.uint8)[..., None], 3, 2))[..., 0].astype(float)
        v, u = (np.indices(out.shape) * out).sum(axis=(1, 2)) / out.sum()
        there = fit.pixels(taken) @ [*spot, 1]
        assert (u, v) == pytest.approx(there[:2], abs=0.15)


def test_rotations_add_up() -> None:
    image = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    once = Fit((40, 40), 90)
    assert np.array_equal(once.apply(image), cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE))
    assert np.array_equal(once.apply(once.apply(image)), Fit((40, 40), 180).apply(image))
    assert np.array_equal(Fit((40, 40), 270).apply(once.apply(image)), image)


def test_shapes_of_all_kinds_are_cropped_not_squeezed() -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    image[:, 8:56] = 255  # the middle square
    assert Fit((24, 24)).apply(image).min() == 255


# --- time


def test_stamps_of_both_clocks_become_monotonic() -> None:
    assert capture_time(99.97, 100.0, 5e9) == pytest.approx(99.97)
    assert capture_time(5e9 - 0.04, 100.0, 5e9) == pytest.approx(99.96)
    assert capture_time(0.0, 100.0, 5e9) == 100.0  # says nothing
    assert capture_time(12.5, 100.0, 5e9) == 100.0  # since the camera was plugged in
    assert capture_time(5e9 - 3600, 100.0, 5e9) == 100.0  # the wall clock was put an hour ahead


@pytest.mark.parametrize(("stamps", "age"), [("monotonic", 0.03), ("wall", 0.03), ("none", 0.0), ("uptime", 0.0)])
def test_frames_carry_the_time_of_capture(device: type[Device], stamps: str, age: float) -> None:
    device.stamps = stamps
    before = time.monotonic()
    stream = open_camera("side", "opencv:0", SIZE).open()
    try:
        after, frame = time.monotonic(), stream.latest()
        assert before - age - 0.01 <= frame.time <= after - age + 0.5
        assert frame.time <= time.monotonic() - age + 1e-3
    finally:
        stream.close()


# --- OpenCV


def test_opencv_frames_are_rgb_new_and_numbered(device: type[Device]) -> None:
    stream = OpenCV("0", "side", SIZE, capture=(64, 48), fps=30, rotate=180).open()
    first = stream.latest()
    assert first.image.shape == (24, 32, 3)
    assert first.image[0, 0, 2] == 200
    assert first.image[0, 0, 0] == 0
    until(lambda: stream.latest().number > first.number + 3)
    later = stream.latest()
    assert later.time > first.time
    assert stream.taken().image.shape == (48, 64, 3)
    made = device.made[0]
    assert made.asked[cv2.CAP_PROP_BUFFERSIZE] == 1
    assert made.asked[cv2.CAP_PROP_FRAME_WIDTH] == 64
    stream.close()
    stream.close()
    assert made.released
    with pytest.raises(RobotError, match="closed"):
        stream.latest()


def test_constructing_opens_nothing(device: type[Device]) -> None:
    OpenCV("0", "side", SIZE)
    assert not device.made


def test_no_such_device(device: type[Device]) -> None:
    with pytest.raises(RobotError, match=r"camera 'side': OpenCV cannot open '/dev/video9'; devices here"):
        OpenCV("/dev/video9", "side", SIZE).open()


def test_another_size_than_asked_is_refused(device: type[Device]) -> None:
    with pytest.raises(RobotError, match="gives 64x48 px where capture=1280x720"):
        OpenCV("0", "side", SIZE, capture=(1280, 720)).open()
    assert device.made[0].released


def test_an_unplugged_camera_is_an_error_at_once(device: type[Device]) -> None:
    stream = OpenCV("0", "side", SIZE).open()
    device.unplugged.set()
    start = time.monotonic()
    until(lambda: raises(stream))
    assert time.monotonic() - start < 1.0  # five bad reads, not a driver's ten seconds
    with pytest.raises(RobotError, match="camera 'side': OpenCV reads nothing more from '0': unplugged"):
        stream.latest()
    stream.close()
    assert device.made[0].released


def test_a_driver_that_hangs_is_an_error_within_the_stated_time(device: type[Device]) -> None:
    stream = OpenCV("0", "side", SIZE, silence=0.2).open()
    device.hangs.set()
    start = time.monotonic()
    until(lambda: raises(stream))
    assert 0.15 < time.monotonic() - start < 2.0
    with pytest.raises(RobotError, match="camera 'side' sent no frame for 0"):
        stream.latest()
    device.hangs.clear()
    stream.close()


def test_a_camera_that_sends_nothing_does_not_open(device: type[Device]) -> None:
    device.hangs.set()
    threading.Timer(0.4, device.hangs.clear).start()
    with pytest.raises(RobotError, match=r"sent no frame for 0.2 s"):
        OpenCV("0", "side", SIZE, patience=0.2).open()
    until(lambda: device.made[0].released)


def test_several_cameras_at_once(device: type[Device]) -> None:
    streams = [OpenCV(address, name, SIZE).open() for address, name in (("0", "side"), ("/dev/video7", "wrist"))]
    assert [s.name for s in streams] == ["side", "wrist"]
    assert all(s.latest().image.any() for s in streams)
    for stream in streams:
        stream.close()


def test_serial_numbers_come_from_usb(tmp_path) -> None:
    usb = tmp_path / "devices/usb1/1-2"
    (usb / "1-2:1.0").mkdir(parents=True)
    (usb / "serial").write_text("ABC123\n")
    node = tmp_path / "video4linux/video3"
    node.mkdir(parents=True)
    (node / "device").symlink_to(usb / "1-2:1.0")
    assert serial("3", tmp_path / "video4linux") == "ABC123"
    assert serial("/dev/video3", tmp_path / "video4linux") == "ABC123"
    assert serial("4", tmp_path / "video4linux") == ""


# --- recordings: what OpenCV really opens here


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("video") / "clip.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), 50, (64, 48))
    for k in range(20):
        writer.write(np.full((48, 64, 3), (220, 10 * k, 0), np.uint8))
    writer.release()
    return path


def test_opencv_reads_a_stream_from_a_file_to_its_end(video: str) -> None:
    stream = open_camera("side", f"opencv:{video}", SIZE).open()
    assert np.abs(stream.latest().image[..., 2].astype(int) - 220).max() < 12
    until(lambda: raises(stream))
    with pytest.raises(RobotError, match="or the stream ended"):
        stream.latest()
    stream.close()


def test_a_video_plays_in_real_time(video: str) -> None:
    stream = open_camera("side", f"recorded:{video}?fps=50", SIZE).open()
    frames = {}

    def over() -> bool:
        if raises(stream):
            return True
        with contextlib.suppress(RobotError):  # it ended just now
            frames.setdefault((seen := stream.latest()).number, seen)
        return False

    until(over)
    with pytest.raises(RobotError, match="is over"):
        stream.latest()
    stream.close()
    assert all(seen.time <= time.monotonic() for seen in frames.values())
    assert len(frames) > 5
    numbers = np.array(sorted(frames))
    times = np.array([frames[n].time for n in numbers])
    assert np.diff(times) == pytest.approx(np.diff(numbers) / 50, abs=1e-6)


def test_a_folder_plays_and_loops(tmp_path) -> None:
    for k in range(3):
        cv2.imwrite(str(tmp_path / f"{k}.png"), np.full((48, 64, 3), (0, 0, 60 + 60 * k), np.uint8))
    stream = open_camera("side", f"recorded:{tmp_path}?fps=100&loop=true", SIZE).open()
    until(lambda: stream.latest().number > 5)
    frame = stream.latest()
    assert frame.image[0, 0].tolist() == [60 + 60 * ((frame.number - 1) % 3), 0, 0]
    stream.close()


@pytest.mark.parametrize(("make", "said"), [("missing", "no folder"), ("empty", "holds no pictures"), ("text", "no picture")])
def test_no_recording(tmp_path, make: str, said: str) -> None:
    if make != "missing":
        (tmp_path / make).mkdir()
    if make == "text":
        (tmp_path / make / "a.png").write_text("no picture")
    with pytest.raises(RobotError, match=said):
        open_camera("side", f"recorded:{tmp_path / make}", SIZE).open()


# --- RealSense


class Vendor:
    """Stands in for pyrealsense2: two cameras, stamps in milliseconds."""

    camera_info = SimpleNamespace(serial_number="serial")
    stream = SimpleNamespace(color="color")
    format = SimpleNamespace(rgb8="rgb8")
    option = SimpleNamespace(global_time_enabled="global")
    timestamp_domain = SimpleNamespace(hardware_clock=0, system_time=1, global_time=2)

    def __init__(self, domain: int = 2) -> None:
        self.plugged, self.domain, self.started, self.stopped, self.options = ["111", "222"], domain, [], 0, []
        vendor = self

        class Config:
            def enable_device(self, number: str) -> None:
                self.number = number

            def enable_stream(self, *mode: Any) -> None:
                self.mode = mode

        class Pipeline:
            count = 0
            buffer = np.zeros((48, 64, 3), np.uint8)

            def start(self, config: Config) -> Any:
                if config.mode[-1] > 60:
                    raise RuntimeError("Couldn't resolve requests")
                vendor.started.append((config.number, config.mode))
                sensor = SimpleNamespace(supports=lambda option: True, set_option=lambda *pair: vendor.options.append(pair))
                return SimpleNamespace(get_device=lambda: SimpleNamespace(query_sensors=lambda: [sensor]))

            def wait_for_frames(self, timeout_ms: int) -> Any:
                time.sleep(0.005)
                if not vendor.plugged:
                    time.sleep(timeout_ms / 1000)
                    raise RuntimeError(f"Frame didn't arrive within {timeout_ms}")
                self.count += 1
                self.buffer[..., 0] = self.count % 256  # the same memory again and again
                stamp = {0: 77.0, 1: time.time(), 2: time.time() - 0.02}[vendor.domain]
                count = self.count
                frame = SimpleNamespace(
                    get_data=lambda: self.buffer,
                    get_timestamp=lambda: 1000 * stamp,
                    get_frame_timestamp_domain=lambda: vendor.domain,
                    get_frame_number=lambda: 100 + count,
                )
                return SimpleNamespace(get_color_frame=lambda: frame)

            def stop(self) -> None:
                vendor.stopped += 1

        self.config, self.pipeline = Config, Pipeline

    def context(self) -> Any:
        return SimpleNamespace(query_devices=lambda: [SimpleNamespace(get_info=lambda _, n=n: n) for n in self.plugged])


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch) -> Vendor:
    imitation = Vendor()
    monkeypatch.setitem(sys.modules, "pyrealsense2", imitation)  # type: ignore[arg-type]
    return imitation


def test_realsense_frames(vendor: Vendor) -> None:
    stream = RealSense("222", "wrist", SIZE, capture=(64, 48), fps=60).open()
    frame = stream.latest()
    kept = frame.image.copy()
    until(lambda: stream.latest().number > frame.number + 2)
    assert np.array_equal(frame.image, kept)  # the vendor's buffer is not shown
    assert 0.015 < time.monotonic() - frame.time < 3
    assert frame.number > 100
    assert stream.serial == "222"
    assert vendor.started == [("222", ("color", 64, 48, "rgb8", 60))]
    assert vendor.options == [("global", 1)]
    stream.close()
    assert vendor.stopped == 1


def test_realsense_without_global_time_is_stamped_at_arrival(vendor: Vendor) -> None:
    vendor.domain = 0
    stream = open_camera("wrist", "realsense:111", SIZE).open()
    assert 0 <= time.monotonic() - stream.latest().time < 1
    stream.close()


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("realsense:333", "realsense:333 is not the one.*realsense:111, realsense:222"),
        ("realsense:", "is not the one camera"),
        ("realsense:111?fps=90", "does not start with 640x480 at 90 Hz: Couldn't resolve"),
    ],
)
def test_realsense_refusals(vendor: Vendor, spec: str, said: str) -> None:
    with pytest.raises(RobotError, match=said):
        open_camera("wrist", spec, SIZE).open()


def test_an_unplugged_realsense_is_an_error_within_the_stated_time(vendor: Vendor) -> None:
    stream = open_camera("wrist", "realsense:111?silence=0.2", SIZE).open()
    vendor.plugged = []
    start = time.monotonic()
    until(lambda: raises(stream))
    assert time.monotonic() - start < 2.0
    stream.close()


def test_realsense_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyrealsense2", None)
    with pytest.raises(RobotError, match="pip install pyrealsense2"):
        open_camera("wrist", "realsense:1", SIZE).open()


# --- watching


def frame(rng: np.random.Generator, number: int, time: float, size: tuple[int, int] = SIZE) -> Frame:
    return Frame(rng.integers(0, 255, (size[1], size[0], 3), np.uint8), time, number)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_a_well_camera_is_left_alone(rng: np.random.Generator) -> None:
    watch = CameraWatch(sizes=SIZES)
    for k in range(100):
        assert watch.look("side", frame(rng, k, k / 30), k / 30 + 0.05) is None


def test_a_stale_frame(rng: np.random.Generator) -> None:
    watch, seen = CameraWatch(max_age=0.2, sizes=SIZES), frame(rng, 1, 10.0)
    assert watch.look("side", seen, 10.19) is None
    stop = watch.look("side", seen, 10.25)
    assert stop is not None
    assert (stop.reason, stop.time) == (Reason.CAMERA_LOST, 10.25)
    assert "0.250 s old" in stop.detail


def test_a_frame_from_the_future(rng: np.random.Generator) -> None:
    stop = CameraWatch(sizes=SIZES).look("side", frame(rng, 1, 11.0), 10.0)
    assert stop is not None
    assert stop.reason is Reason.CLOCK


def test_a_frozen_picture_in_new_frames(rng: np.random.Generator) -> None:
    watch, image = CameraWatch(repeats=3, sizes=SIZES), frame(rng, 0, 0).image
    stops = [watch.look("side", Frame(image.copy(), k / 30, k), k / 30) for k in range(6)]
    assert [stop.reason if stop else None for stop in stops] == [None] * 3 + [Reason.CAMERA_FROZEN] * 3
    assert watch.look("side", frame(rng, 9, 1.0), 1.0) is None


def test_the_same_frame_seen_twice_is_not_frozen(rng: np.random.Generator) -> None:
    watch, seen = CameraWatch(repeats=2, sizes=SIZES), frame(rng, 1, 0.0)
    assert all(watch.look("side", seen, 0.001 * k) is None for k in range(50))


def test_a_renderer_may_repeat_itself(rng: np.random.Generator) -> None:
    watch, image = CameraWatch(repeats=None, sizes=SIZES), frame(rng, 0, 0).image
    assert all(watch.look("side", Frame(image, k / 30, k), k / 30) is None for k in range(50))


def test_a_black_picture(rng: np.random.Generator) -> None:
    dark = rng.integers(0, 4, (SIZE[1], SIZE[0], 3), np.uint8)
    dark[3, 3] = 255  # a hot pixel
    watch = CameraWatch(sizes=SIZES)
    stop = watch.look("side", Frame(dark, 0.0, 1), 0.0)
    assert stop is not None
    assert stop.reason is Reason.CAMERA_BLACK
    night = np.zeros_like(dark)
    night[:4] = 90  # dark, but something is seen
    assert watch.look("side", Frame(night, 0.0, 2), 0.0) is None


@pytest.mark.parametrize("image", [np.zeros((32, 24, 3), np.uint8), np.zeros((24, 32), np.uint8), np.zeros((24, 32, 3), np.float32)])
def test_another_size_or_kind_of_picture(image: np.ndarray) -> None:
    stop = CameraWatch(sizes=SIZES).look("side", Frame(image, 0.0, 1), 0.0)
    assert stop is not None
    assert stop.reason is Reason.CAMERA_SWAPPED
    assert "agreed are uint8 (24, 32, 3)" in stop.detail


def test_each_camera_is_watched_by_itself(rng: np.random.Generator) -> None:
    watch, image = CameraWatch(repeats=1), frame(rng, 0, 0).image
    assert watch.look("side", Frame(image, 0.0, 1), 0.0) is None
    assert watch.look("wrist", Frame(image, 0.0, 2), 0.0) is None
    stop = watch.look("side", Frame(image, 0.0, 3), 0.0)
    assert stop is not None
    assert "camera 'side' sent 2 frames" in stop.detail


def test_a_size_that_nobody_stated_must_not_change(rng: np.random.Generator) -> None:
    watch = CameraWatch()
    assert watch.look("side", frame(rng, 1, 0.0), 0.0) is None
    stop = watch.look("side", frame(rng, 2, 0.0, (64, 48)), 0.0)
    assert stop is not None
    assert stop.reason is Reason.CAMERA_SWAPPED


@pytest.mark.parametrize("wrong", [{"max_age": 0}, {"repeats": 0}, {"black": 300}, {"ahead": -1}])
def test_impossible_watches(wrong: dict[str, Any]) -> None:
    with pytest.raises(RobotError):
        CameraWatch(**wrong)
