"""A black box on disk: a folder of one JSON and plain arrays, written whole or not at all, and read as if a stranger had made it."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from hardware.api import ActionChunk, Observation, RobotError
from hardware.blackbox import BLOCKED, CALL, FRAME, REASONS, RESTING, UNMEASURED, BlackBox, BoxPlan
from hardware.reason import Reason, Stop

FORMAT = 1
"""Version of the format. Raise it when an older reader would misread what is written."""
HEAD = "blackbox.json"
_HEAD_LIMIT = 4 * 2**20  # bytes of the JSON


@dataclass(frozen=True)
class Tape:
    """A black box read back. Arrays stay on the disk until they are looked at; rows are oldest first."""

    path: Path
    plan: BoxPlan
    stop: Stop | None
    """Why the arm was stopped; None where the run ended by itself."""
    context: Mapping[str, Any]
    """What the writer said of the run: robot, checkpoint, limits."""
    notes: tuple[tuple[float, str], ...]
    """When something was said [s, monotonic], and what."""
    trials: Mapping[int, str]
    """Instructions by number of trial."""
    fault: str
    """What could not be recorded, the first and how many; empty where everything was."""
    arrays: Mapping[str, np.ndarray]
    """By name, as `BoxPlan.layout` describes them."""
    reasons: tuple[str, ...]
    """What the codes of `servo("reason")` mean."""

    def servo(self, column: str) -> np.ndarray:
        """A column of all servo periods, (N, width): time, flags, reason, qpos, qvel, effort, gripper, asked, asked_gripper, sent, ..."""
        return self.arrays["servo"][:, self.plan.columns[column]]

    def call(self, column: str) -> np.ndarray:
        """A column of all questions to the policy, (N,): number, trial, observed, asked, answered, length."""
        return self.arrays["calls"][:, CALL.index(column)]

    @property
    def pictured(self) -> range:
        """Calls whose whole pictures are here: the newest."""
        calls = len(self.arrays["calls"])
        kept = min([len(self.arrays[f"images/{name}"]) for name in self.plan.cameras], default=0)
        return range(calls - kept, calls)

    def observation(self, call: int) -> Observation:
        """What the policy was asked about, bit by bit. Raises RobotError where only its thumbnail was kept."""
        if call not in self.pictured:
            raise RobotError(f"{self.path} holds pictures of calls {self.pictured.start} to {self.pictured.stop - 1}, not of {call}")
        k, n = call - self.pictured.start, len(self.plan.joints)
        images = {name: np.array(self.arrays[f"images/{name}"][k]) for name in self.plan.cameras}
        masks = {
            name: np.unpackbits(self.arrays[f"masks/{name}"][k], axis=1, count=width).astype(bool)
            for name, (_, width) in self.plan.cameras.items()
        }
        joints = np.array(self.arrays["calls"][call, len(CALL) :])
        return Observation(images, masks, joints[:n], joints[n:], float(self.call("observed")[call]))

    def chunk(self, call: int) -> ActionChunk | None:
        """What the policy answered; None where it did not."""
        length, n = int(self.call("length")[call]), len(self.plan.joints)
        if not length:
            return None
        actions = np.array(self.arrays["chunks"][call, :length])
        return ActionChunk(actions[:, :n], actions[:, n:])


def dump(box: BlackBox, folder: Path | str, stop: Stop | None, context: Mapping[str, Any]) -> Path:
    """Writes what a box holds to a new folder under `folder`, for which the arm need not wait: it is stopped already.

    Args:
        box: goes on recording meanwhile.
        folder: where black boxes lie; made where it is missing.
        stop: why the arm was stopped; None: the run ended by itself.
        context: of the run, as JSON values; what is none is written as text.

    Raises:
        RobotError: nothing was written, and why: a full disk, a folder that cannot be written to.
    """
    now = datetime.now(UTC)  # names the folder for people; nothing is measured by it
    reason = stop.reason.value if stop else "end"
    path = Path(folder) / f"{now:%Y%m%dT%H%M%S.%f}-{reason}"
    part = Path(folder) / f".part-{secrets.token_hex(6)}"
    try:
        arrays = box.snapshot()
        head = {
            "format": FORMAT,
            "written": now.isoformat(timespec="seconds"),
            "stop": {"reason": stop.reason.value, "detail": stop.detail, "time": stop.time} if stop else None,
            "plan": asdict(box.plan),
            "context": dict(context),
            "notes": list(box.notes),
            "trials": list(box.trials),
            "fault": f"{box.faults} times, first: {box.fault}" if box.faults else "",
            "reasons": list(REASONS),
            "rows": {name: len(array) for name, array in arrays.items()},
        }
        text = json.dumps(head, indent=1, default=str)
        part.mkdir(parents=True)
        for name, array in arrays.items():
            (part / f"{name}.npy").parent.mkdir(exist_ok=True)
            with (part / f"{name}.npy").open("wb") as file:
                np.save(file, array, allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
        with (part / HEAD).open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.rename(part, path)
    except (OSError, ValueError, TypeError, MemoryError, RuntimeError) as error:
        shutil.rmtree(part, ignore_errors=True)
        said = (error.strerror if isinstance(error, OSError) else None) or f"{type(error).__name__}: {error}"
        raise RobotError(f"the black box was not written to {folder}: {' '.join(said.split())}; the arm is stopped all the same") from error
    return path


def open_blackbox(path: Path | str) -> Tape:
    """Reads a black box. Nothing in it can name code, and nothing is allocated before its size is known. Raises RobotError."""
    path = Path(path)
    try:
        head = _head(path / HEAD)
        if head["format"] != FORMAT:
            raise ValueError(f"it has format {str(head['format'])[:20]}, this program reads {FORMAT}")
        raw = head["plan"]
        plan = BoxPlan(**{**raw, "cameras": {name: tuple(size) for name, size in raw["cameras"].items()}})
        rows = {name: _int(head["rows"][name], shape[0]) for name, (shape, _) in plan.layout.items()}
        layout = {name: ((rows[name], *shape[1:]), kind) for name, (shape, kind) in plan.layout.items()}
        arrays = {name: _array(path / f"{name}.npy", shape, np.dtype(kind)) for name, (shape, kind) in layout.items()}
        _check(plan, arrays)
        stop = head["stop"]
        return Tape(
            path,
            plan,
            Stop(Reason(stop["reason"]), str(stop["detail"]), float(stop["time"])) if stop else None,
            dict(head["context"]),
            tuple((float(t), str(text)) for t, text in head["notes"]),
            {int(k): str(text) for k, text in head["trials"]},
            str(head["fault"]),
            arrays,
            _reasons(head["reasons"]),
        )
    except Exception as error:  # whatever a malformed file provokes, numpy's parser of headers included, is a refusal
        said = error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
        raise RobotError(f"{path} is no black box that can be read ({' '.join(said.split())[:200]})") from None


def _head(file: Path) -> dict[str, Any]:
    _regular(file, _HEAD_LIMIT)
    head = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(head, dict) or "format" not in head:
        raise ValueError(f"{file.name} holds no black box")
    return head


def _array(file: Path, shape: tuple[int, ...], kind: np.dtype) -> np.ndarray:
    """An array of exactly this shape and type, mapped. Raises ValueError, OSError."""
    size = _regular(file, 2**31)
    array = np.load(file, mmap_mode="r", allow_pickle=False)
    if not isinstance(array, np.memmap) or array.shape != shape or array.dtype != kind or not array.flags.c_contiguous:
        raise ValueError(f"{file.name} is not {kind} {shape}")
    if array.offset + array.nbytes != size:
        raise ValueError(f"{file.name} has {size} bytes, {array.offset + array.nbytes} belong to it")
    return array


def _check(plan: BoxPlan, arrays: Mapping[str, np.ndarray]) -> None:
    """That rows belong together and that counts and places are such. Raises ValueError."""
    calls, frames, servo = arrays["calls"], arrays["frames"], arrays["servo"]
    pictures = {len(arrays[f"{kind}/{name}"]) for kind in ("images", "masks") for name in plan.cameras}
    thumbs = {len(arrays[f"thumbs/{name}"]) for name in plan.cameras} - {len(arrays["thumb_times"])}
    if len(arrays["chunks"]) != len(calls) or len(pictures) > 1 or max(pictures, default=0) > len(calls) or thumbs:
        raise ValueError("its arrays do not belong together")
    bounds = [
        ("number", calls[:, CALL.index("number")], 2**53),
        ("trial", calls[:, CALL.index("trial")], 2**53),
        ("length", calls[:, CALL.index("length")], plan.chunk),
        ("camera", frames[:, FRAME.index("camera")], len(plan.cameras) - 1),
        ("reason", servo[:, plan.columns["reason"]], len(REASONS) - 1),
        ("flags", servo[:, plan.columns["flags"]], UNMEASURED | BLOCKED | RESTING),
    ]
    for name, values, most in bounds:
        if not ((values >= 0) & (values <= most) & (values == np.floor(values))).all():
            raise ValueError(f"a {name} is none of 0 to {most}")


def _regular(file: Path, limit: int) -> int:
    """Size of a plain file [bytes]; links, pipes and what is larger are refused."""
    found = file.lstat()
    if not stat.S_ISREG(found.st_mode) or found.st_size > limit:
        raise ValueError(f"{file.name} is no plain file of at most {limit} bytes")
    return found.st_size


def _reasons(names: object) -> tuple[str, ...]:
    if not isinstance(names, list) or len(names) < len(REASONS) or not all(isinstance(name, str) for name in names):
        raise ValueError("its list of reasons is malformed")
    return tuple(names)


def _int(value: object, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise ValueError(f"{value!r} rows, at most {most}")
    return value
