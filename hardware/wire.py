"""What a control loop and a policy in another process say to each other: typed messages in frames. Nothing in a frame can name code.

A frame is a prefix (4 bytes of MAGIC, then the lengths of header and payload, u32 big-endian), a header (JSON in UTF-8: the message's
kind, its fields, and name, dtype and shape of each array), and a payload (the arrays, little-endian, one after the other without gaps;
bool as packed bits). Every length is checked before the bytes that it announces are read or allocated.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

import numpy as np

from hardware.api import ActionChunk, Observation, RobotError

PROTOCOL = 1
"""Version; both sides must have the same."""
MAGIC = b"CzF\n"
PREFIX = struct.Struct(">4sII")
DTYPES = {"u1": np.dtype("u1"), "bool": np.dtype("?"), "f4": np.dtype("<f4"), "f8": np.dtype("<f8"), "i8": np.dtype("<i8")}
MAX_ARRAYS = 64
MAX_DIMENSIONS = 4
MAX_LENGTH = 1 << 16
"""Of one dimension; so that an array of which one dimension is 0 overflows nothing."""

Arrays = Mapping[str, np.ndarray]
Table = Mapping[str, object]


class WireError(RobotError):
    """A message that breaks the rules: malformed, too large, of the wrong type."""


class WireLost(RobotError):
    """The other side is gone, or was silent past the deadline."""


@dataclass(frozen=True)
class Limits:
    """The greatest frame that is accepted."""

    header: int = 1 << 18
    """[bytes]"""
    payload: int = 1 << 26
    """[bytes], unpacked too."""


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Hello:
    """Client: who asks. The first frame after the opening (`hardware.opening`)."""

    name: str
    """For the server's log, and for those that find it busy."""


@dataclass(frozen=True)
class Welcome:
    """Server: what its policy was trained for."""

    proof: str
    """That the server, too, knows the token (hex)."""
    contract: Table
    fingerprint: Table


@dataclass(frozen=True)
class Refused:
    """Server: no, and the connection ends."""

    code: str
    """token, version, busy or malformed."""
    detail: str


@dataclass(frozen=True)
class Reset:
    """Client: a new trial begins. Answered by Ready or Failed."""

    number: int
    instruction: str


@dataclass(frozen=True)
class Ready:
    """Server: the policy was reset."""

    number: int


@dataclass(frozen=True)
class Predict:
    """Client: an observation. Answered by Chunk or Failed."""

    number: int
    """Of the request; the answer has the same."""
    time: float
    """When it was sensed, by the client's clock [s]; echoed, never compared with another clock."""
    images: Arrays
    """(H, W, 3) uint8 each."""
    masks: Arrays
    """(H, W) bool each."""
    qpos: np.ndarray
    """(n,) [rad]."""
    gripper: np.ndarray
    """(m,)"""

    def __post_init__(self) -> None:
        for name, image in self.images.items():
            _require(image, "u1", image.ndim == 3 and image.shape[2] == 3, f"picture {name!r}", "(H, W, 3) uint8")
        for name, mask in self.masks.items():
            _require(mask, "b1", mask.ndim == 2, f"mask {name!r}", "(H, W) bool")
        for name in ("qpos", "gripper"):
            vector = getattr(self, name)
            _require(vector, "f", vector.ndim == 1, name, "one row of floats")

    @staticmethod
    def of(number: int, observation: Observation) -> Predict:
        """Raises WireError where the observation is not what api.Observation says."""
        o = observation
        return Predict(number, float(o.time), o.images, o.masks, np.asarray(o.qpos), np.asarray(o.gripper))

    def observation(self) -> Observation:
        """As the policy is given it."""
        return Observation(self.images, self.masks, self.qpos, self.gripper, self.time)


@dataclass(frozen=True)
class Chunk:
    """Server: what to do next. Actions that are not finite pass: api.Action refuses them, where the safety filter sees it."""

    number: int
    time: float
    """Of the observation, as it came [s, the client's clock]."""
    seconds: float
    """That the inference took [s]."""
    qpos: np.ndarray
    """(T, n) [rad]."""
    gripper: np.ndarray
    """(T, m)"""

    def __post_init__(self) -> None:
        for name in ("qpos", "gripper"):
            table = getattr(self, name)
            _require(table, "f", table.ndim == 2 and len(table) == len(self.qpos) > 0, f"a chunk's {name}", "(T, n) floats, T above 0")

    @staticmethod
    def of(asked: Predict, chunk: ActionChunk, seconds: float) -> Chunk:
        """Raises WireError where the policy's answer is no chunk."""
        return Chunk(asked.number, asked.time, seconds, np.asarray(chunk.qpos), np.asarray(chunk.gripper))

    def chunk(self) -> ActionChunk:
        """As the control loop is given it."""
        return ActionChunk(self.qpos, self.gripper)


@dataclass(frozen=True)
class Failed:
    """Server: the policy could not do what was asked; the connection goes on."""

    number: int
    detail: str


@dataclass(frozen=True)
class Ping:
    """Client: is anyone there? Sent when there was nothing else to send."""

    number: int


@dataclass(frozen=True)
class Pong:
    """Server: yes."""

    number: int


@dataclass(frozen=True)
class Bye:
    """Either: the connection ends by intention."""

    detail: str


Message = Hello | Welcome | Refused | Reset | Ready | Predict | Chunk | Failed | Ping | Pong | Bye
KINDS: dict[str, type[Message]] = {
    "hello": Hello,
    "welcome": Welcome,
    "refused": Refused,
    "reset": Reset,
    "ready": Ready,
    "predict": Predict,
    "chunk": Chunk,
    "error": Failed,
    "ping": Ping,
    "pong": Pong,
    "bye": Bye,
}
NAMES = {kind: name for name, kind in KINDS.items()}
_HINTS = {kind: get_type_hints(kind) for kind in NAMES}


def encode(message: Message, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The frame of a message; a snapshot: what happens to the arrays later does not matter. Raises WireError."""
    fields, rows, parts = {}, [], []
    for name, hint in _HINTS[type(message)].items():
        value = getattr(message, name)
        if hint is not np.ndarray and hint != Arrays:
            fields[name] = dict(value) if hint == Table else value
            continue
        for key, array in ((name, value),) if hint is np.ndarray else ((f"{name}/{k}", v) for k, v in value.items()):
            dtype, part = _pack(key, array)
            rows.append((key, dtype, array.shape))
            parts.append(part)
    try:
        table = {"kind": NAMES[type(message)], "fields": fields, "arrays": rows}
        header = _WRITER.encode(table).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise WireError(f"a {NAMES[type(message)]} message cannot be written: {error}") from None
    payload = sum(part.nbytes for part in parts)
    _fits(len(header), payload, limits)
    return b"".join([PREFIX.pack(MAGIC, len(header), payload), header, *parts])


def decode(read: Callable[[int], bytearray], limits: Limits = DEFAULT_LIMITS) -> Message:
    """The next message of a stream.

    Args:
        read: gives exactly as many bytes as it is asked for; is never asked for more than the limits allow.
        limits: of the frame.

    Raises:
        WireError: the frame breaks the rules; what follows it in the stream means nothing.
    """
    magic, header, payload = PREFIX.unpack(read(PREFIX.size))
    if magic != MAGIC:
        raise WireError(f"a frame begins with {MAGIC!r}, not with {magic!r}")
    _fits(header, payload, limits)
    kind, fields, rows = _header(read(header))
    layout = _layout(rows, payload, limits)
    arrays, data, start = {}, memoryview(read(payload)), 0
    for name, dtype, shape, size in layout:
        arrays[name] = _unpack(data[start : start + size], dtype, shape)
        start += size
    return _message(KINDS[kind], fields, arrays)


def one_line(text: object, limit: int = 400) -> str:
    """Foreign text, fit for a terminal: no escape sequences, no line breaks, not endless."""
    line = "".join(c if c.isprintable() else " " for c in str(text)[: limit + 1])
    return line if len(line) <= limit else line[:limit] + "..."


def _fits(header: int, payload: int, limits: Limits) -> None:
    for name, size, limit in (("header", header, limits.header), ("payload", payload, limits.payload)):
        if size > limit:
            raise WireError(f"a frame's {name} of {size} bytes; at most {limit} are accepted here")


def _header(data: bytearray) -> tuple[str, dict[str, Any], list[Any]]:
    try:
        table = _READER.decode(data.decode())
    except (ValueError, RecursionError) as error:
        raise WireError(f"a header that is no JSON of ours: {one_line(error, 100)}") from None
    if not isinstance(table, dict) or table.keys() != {"kind", "fields", "arrays"}:
        raise WireError("a header holds kind, fields and arrays, and nothing else")
    kind, fields, rows = table["kind"], table["fields"], table["arrays"]
    if not isinstance(kind, str) or kind not in KINDS:
        raise WireError(f"unknown kind of message {one_line(kind, 40)!r}; known: {', '.join(KINDS)}")
    if not isinstance(fields, dict) or not isinstance(rows, list) or len(rows) > MAX_ARRAYS:
        raise WireError(f"fields is a table, arrays a list of at most {MAX_ARRAYS}")
    return kind, fields, rows


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is no JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is not finite")
    return value


_READER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
_WRITER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_CODES = {(dtype.kind, dtype.itemsize): code for code, dtype in DTYPES.items()}


def _layout(rows: list[Any], payload: int, limits: Limits) -> list[tuple[str, str, tuple[int, ...], int]]:
    """Name, dtype, shape and bytes of each array; they fill the payload exactly, and unpacked take no more than it may."""
    layout, names, total, unpacked = [], set(), 0, 0
    for row in rows:
        if not isinstance(row, list) or len(row) != 3:
            raise WireError("an array is described by name, dtype and shape")
        name, dtype, shape = row
        if not isinstance(name, str) or name in names:
            raise WireError(f"an array's name is text and its own, not {one_line(name, 40)!r}")
        if not isinstance(dtype, str) or dtype not in DTYPES:
            raise WireError(f"array {one_line(name, 40)!r} has dtype {one_line(dtype, 40)!r}; accepted: {', '.join(DTYPES)}")
        if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS or not all(type(n) is int and 0 <= n < MAX_LENGTH for n in shape):
            raise WireError(
                f"array {one_line(name, 40)!r} has shape {one_line(shape, 60)}; give up to {MAX_DIMENSIONS} lengths below {MAX_LENGTH}"
            )
        count = math.prod(shape)
        size = -(-count // 8) if dtype == "bool" else count * DTYPES[dtype].itemsize
        names.add(name)
        layout.append((name, dtype, tuple(shape), size))
        total += size
        unpacked += max(size, count)
    if total != payload:
        raise WireError(f"the arrays take {total} bytes, the payload has {payload}")
    _fits(0, unpacked, limits)
    return layout


def _pack(name: str, array: np.ndarray) -> tuple[str, np.ndarray]:
    code = _CODES.get((array.dtype.kind, array.dtype.itemsize))
    if code is None or array.ndim > MAX_DIMENSIONS or max(array.shape, default=0) >= MAX_LENGTH:
        known = f"{', '.join(DTYPES)}, up to {MAX_DIMENSIONS} lengths below {MAX_LENGTH}"
        raise WireError(f"array {name!r} is {array.dtype} {array.shape}; accepted: {known}")
    if code == "bool":
        return code, np.packbits(array)
    return code, np.ascontiguousarray(array, DTYPES[code]).reshape(-1).view(np.uint8)


def _unpack(data: memoryview, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    if dtype == "bool":
        return np.unpackbits(np.frombuffer(data, np.uint8), count=math.prod(shape)).view(bool).reshape(shape)
    array = np.frombuffer(data, DTYPES[dtype]).reshape(shape)
    return array if array.flags.aligned else array.copy()


def _message(kind: type[Message], fields: dict[str, Any], arrays: dict[str, np.ndarray]) -> Message:
    name = NAMES[kind]
    values: dict[str, Any] = {}
    for field, hint in _HINTS[kind].items():
        if hint == Arrays:
            mine = [key for key in arrays if key.startswith(field + "/")]
            values[field] = {key[len(field) + 1 :]: arrays.pop(key) for key in mine}
            continue
        source = arrays if hint is np.ndarray else fields
        if field not in source:
            raise WireError(f"a {name} message without {field}")
        value = source.pop(field)
        if hint is not np.ndarray and not _CHECKS[hint](value):
            raise WireError(f"a {name} message whose {field} is {one_line(value, 60)!r}")
        values[field] = float(value) if hint is float else value
    if fields or arrays:
        raise WireError(f"a {name} message holds no {one_line(', '.join([*fields, *arrays]), 60)!r}")
    return kind(**values)


def _is_text(value: object) -> bool:
    try:  # JSON can spell halves of characters, which no terminal or file takes
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def _is_table(value: object) -> bool:
    try:
        return isinstance(value, dict) and _is_text(json.dumps(value, ensure_ascii=False))
    except RecursionError:
        return False


_CHECKS: dict[object, Callable[[Any], bool]] = {
    int: lambda value: type(value) is int and 0 <= value < 1 << 63,
    float: lambda value: type(value) in (int, float) and abs(value) < 1e300,
    str: _is_text,
    Table: _is_table,
}


def _require(array: object, kind: str, shaped: bool, name: str, what: str) -> None:
    if not isinstance(array, np.ndarray) or not array.dtype.str[1:].startswith(kind) or not shaped:
        given = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise WireError(f"{name} is {given}; give {what}")
