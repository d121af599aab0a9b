"""What LeRobot's batches leave out of a data set: masks, which labels are answers, where episodes begin. Found by the number of a frame."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from episodes.errors import StoreError
from episodes.info import DatasetInfo
from episodes.lerobot import LeRobotSource
from episodes.lerobot_import import about_of
from policies.cache import Cache
from policies.config import PolicyConfig
from policies.contract import Contract
from policies.errors import PolicyError
from policies.sampler import Sampler, measure_stats
from policies.stats import Stats
from policies.table import Table, grasps_of

STATE, ACTION = "observation.state", "action"


@dataclass(frozen=True)
class Recorded:
    """R frames of a LeRobotDataset, numbered as its column `index` does."""

    contract: Contract
    table: Table
    """Every step is a frame, and none is held out."""
    masks: Mapping[str, np.ndarray]
    """Pixels of the target by camera, eight to a byte, (R, ceil(H * W / 8)) u8, in a file that is gone with the process."""
    made_by: Mapping[str, Any]
    """What the data set says of its making; nothing where we did not export it."""
    digest: str
    """Changes with the data set."""

    def moments(self, now: np.ndarray, history: int, execute: int) -> np.ndarray:
        """Frames of the history of frames (B,), (B, C), the present last: before the first of an episode, the first asked."""
        first = self.table.first[now]
        asked = first + (now - first) % execute  # in use, history is made of the moments at which the policy was asked
        return np.maximum(now[:, None] - execute * np.arange(history - 1, -1, -1), asked[:, None])

    def seen(self, frames: np.ndarray) -> np.ndarray:
        """Masks of frames (...), (..., V, H, W) bool."""
        height, width = self.contract.size
        packed = np.stack([self.masks[camera][frames] for camera in self.contract.cameras], frames.ndim)  # (..., V, bytes)
        return np.unpackbits(packed, axis=-1, count=height * width).reshape(*packed.shape[:-1], height, width).view(bool)

    def answered(self, now: np.ndarray, chunk: int) -> np.ndarray:
        """1 where a step of the chunk of frames (B,) is an expert's answer, (B, K) f32: what follows a sabotage is none."""
        steps = np.minimum(now[:, None] + np.arange(chunk), self.table.last[now][:, None])
        return np.minimum.accumulate(self.table.labelled[steps], axis=1).astype(np.float32)

    def stats(self, config: PolicyConfig) -> Stats:
        """What `cezanne train` would measure with every frame as a sample: of relative actions for each step of the chunk."""
        none = np.empty(0, np.int64)
        cache = Cache(self.table, none, none, none, none, none, len(self.contract.cameras), self.digest)
        joints = len(self.contract.joints)
        sampler = Sampler(cache, config.chunk, config.execute, config.history, joints, config.encoder.cap)
        return measure_stats(sampler, config.actions)


def open_recorded(root: Path, gripper: int = 1) -> Recorded:
    """Reads everything but the pictures.

    Args:
        root: of a LeRobotDataset v3.0 that holds, for every camera, the target's mask as `mask.CAMERA` (see episodes/lerobot_export.py).
        gripper: values of the gripper, where the data set is none of our exports.

    Raises:
        PolicyError: there is no mask, or what is there cannot be learned from.
    """
    try:
        source = LeRobotSource(root)
        about = about_of(source)
        info = DatasetInfo.from_json(about["info"], str(root)) if about else None
    except StoreError as error:
        raise PolicyError(str(error)) from None
    contract = Contract.of_dataset(info) if info else _contract(source, gripper)
    return _read(source, contract, about, dict(info.fingerprint) if info else {})


def _contract(source: LeRobotSource, gripper: int) -> Contract:
    """The contract of a data set that is none of our exports; where its cameras stand is not known."""
    names = tuple(name for name in source.cameras if f"mask.{name}" in source.columns_there)
    sizes = {source.cameras[name] for name in names}
    if len(sizes) != 1:
        there = f"pictures of {sorted(sizes)} px, they must share one size" if sizes else "no camera has a feature mask.CAMERA"
        raise PolicyError(f"{source.path}: {there}; `cezanne convert` reads masks that were recorded as pictures, and writes them so")
    joints = source.joints[: len(source.joints) - gripper]
    if not joints:
        raise PolicyError(f"{source.path}: {STATE} has {len(source.joints)} values, gripper={gripper} of them the gripper's")
    return Contract(names, sizes.pop(), joints, gripper, source.robot, 1 / source.fps)


def _read(source: LeRobotSource, contract: Contract, about: Mapping[str, Any] | None, made_by: Mapping[str, Any]) -> Recorded:
    lengths, width = source.lengths, len(contract.joints) + contract.gripper
    total, starts = int(lengths.sum()), np.cumsum(lengths) - lengths
    height, across = contract.size
    size = -(-height * across // 8)
    judged = "labelled" in source.columns_there
    if lacking := [name for name in contract.cameras if f"mask.{name}" not in source.columns_there]:
        raise PolicyError(f"{source.path}: camera {lacking[0]!r} has no feature mask.{lacking[0]}: `cezanne convert` writes it")
    rows = {STATE: np.empty((total, width), np.float32), ACTION: np.empty((total, width), np.float32)}
    labelled = np.ones(total, bool)
    masks = {name: _scratch((total, size)) for name in contract.cameras}
    wanted = ["index", STATE, ACTION, *(["labelled"] if judged else []), *(f"mask.{name}" for name in contract.cameras)]
    done = 0
    for file in sorted((source.path / "data").glob("chunk-*/file-*.parquet")):
        for batch in _batches(file, wanted):
            there = slice(done, done + len(batch))
            if there.stop > total or not np.array_equal(_flat(batch, "index", 1, file)[:, 0], np.arange(there.start, there.stop)):
                raise PolicyError(f"{file}: frames are not numbered from 0 to {total - 1}, one after another")
            for name, values in rows.items():
                values[there] = _flat(batch, name, width, file)
            for name, bits in masks.items():
                bits[there] = _flat(batch, f"mask.{name}", size, file)
            if judged:
                labelled[there] = _flat(batch, "labelled", 1, file)[:, 0]
            done = there.stop
    if done != total:
        raise PolicyError(f"{source.path}: {done} frames are there, its description speaks of {total}")
    for name, values in rows.items():
        if not np.isfinite(values).all():
            raise PolicyError(f"{source.path}: {name} of episode {_episode(starts, values)} holds values that are not finite numbers")
    if not labelled.any():
        raise PolicyError(f"{source.path} holds no labelled step to train on")
    grasp = np.full((total, 5), np.nan, np.float32)
    for k, (start, length) in enumerate(zip(starts.tolist(), lengths.tolist(), strict=True)):
        if about:
            there = slice(start, start + length)
            try:
                grasp[there] = grasps_of(about["episodes"][k]["provenance"], labelled[there])
            except (KeyError, TypeError, ValueError) as error:
                raise PolicyError(f"{source.path}: the grasp of episode {k} is malformed ({str(error)[:80]})") from None
    table = Table(
        proprio=rows[STATE],
        actions=rows[ACTION],
        labelled=labelled,
        grasp=grasp,
        first=np.repeat(starts, lengths),
        last=np.repeat(starts + lengths - 1, lengths),
        frame=np.arange(total),
        held_out=np.zeros(total, bool),
    )
    digest = hashlib.sha256(json.dumps(contract.to_json(), sort_keys=True).encode())
    for array in (lengths, table.proprio, table.actions):
        digest.update(np.ascontiguousarray(array).tobytes())
    return Recorded(contract, table, masks, made_by, digest.hexdigest()[:16])


def _batches(file: Path, columns: list[str]) -> Any:
    """The rows of a file, some at a time."""
    try:
        yield from pq.ParquetFile(file).iter_batches(4096, columns=columns)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise PolicyError(f"cannot read {file}: {str(error)[:160]}") from None


def _flat(batch: pa.RecordBatch, name: str, width: int, file: Path) -> np.ndarray:
    """A column of N rows of `width` numbers each, (N, width)."""
    if name not in batch.schema.names:
        raise PolicyError(f"{file} has no column {name!r}")
    column = batch.column(name)
    if column.null_count == 0 and hasattr(column, "flatten") and pa.types.is_nested(column.type):
        column = column.flatten()
    if column.null_count or pa.types.is_nested(column.type) or len(column) != len(batch) * width:
        raise PolicyError(f"{file}: {name} is not {width} numbers in every row")
    values = column.to_numpy(zero_copy_only=False)
    if values.dtype.kind not in "fiub":
        raise PolicyError(f"{file}: {name} holds {column.type}, numbers are wanted")
    return values.reshape(len(batch), width)


def _scratch(shape: tuple[int, int]) -> np.ndarray:
    """Bytes in a file without a name: what is not looked at takes no memory."""
    with tempfile.TemporaryFile() as file:
        file.truncate(max(1, shape[0] * shape[1]))
        return np.memmap(file, np.uint8, "r+", shape=shape)


def _episode(starts: np.ndarray, values: np.ndarray) -> int:
    """The first episode with values that are not finite."""
    return int(np.searchsorted(starts, np.flatnonzero(~np.isfinite(values).all(1))[0], "right") - 1)
