"""Frames: what is written is read back; whatever else comes is refused before it costs memory."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hardware.api import ActionChunk, Observation
from hardware.wire import (
    KINDS,
    MAGIC,
    PREFIX,
    Bye,
    Chunk,
    Failed,
    Hello,
    Limits,
    Message,
    Ping,
    Pong,
    Predict,
    Ready,
    Refused,
    Reset,
    Welcome,
    WireError,
    WireLost,
    decode,
    encode,
    one_line,
)

QUICK = settings(max_examples=60, deadline=None)
numbers = st.integers(0, (1 << 63) - 1)
times = st.floats(-1e9, 1e9)
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
tables = st.dictionaries(texts, st.recursive(st.none() | st.booleans() | st.integers() | times | texts, st.lists, max_leaves=5), max_size=4)
floats = st.sampled_from([np.dtype("f4"), np.dtype("f8"), np.dtype(">f8")])


class Bytes:
    """A stream of bytes that ends; remembers the largest read."""

    def __init__(self, data: bytes) -> None:
        self.data, self.most = data, 0

    def __call__(self, size: int) -> bytearray:
        self.most = max(self.most, size)
        if size > len(self.data):
            raise WireLost("the end")
        piece, self.data = self.data[:size], self.data[size:]
        return bytearray(piece)


def vectors(axes: int) -> st.SearchStrategy[np.ndarray]:
    return floats.flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=axes, max_dims=axes, min_side=1, max_side=6)))


@st.composite
def predicts(draw: st.DrawFn) -> Predict:
    cameras = draw(st.lists(texts, max_size=3, unique=True))
    shapes = {name: draw(st.tuples(st.integers(0, 9), st.integers(0, 9))) for name in cameras}
    images = {name: draw(hnp.arrays(np.uint8, (*shape, 3))) for name, shape in shapes.items()}
    masks = {name: draw(hnp.arrays(bool, shape)) for name, shape in shapes.items()}
    return Predict(draw(numbers), draw(times), images, masks, draw(vectors(1)), draw(vectors(1)))


@st.composite
def chunks(draw: st.DrawFn) -> Chunk:
    qpos = draw(vectors(2))
    return Chunk(draw(numbers), draw(times), draw(times), qpos, draw(hnp.arrays(np.float64, (len(qpos), draw(st.integers(0, 3))))))


messages = st.one_of(
    st.builds(Hello, texts),
    st.builds(Welcome, texts, tables, tables),
    st.builds(Refused, texts, texts),
    st.builds(Reset, numbers, texts),
    st.builds(Failed, numbers, texts),
    st.builds(Bye, texts),
    *(st.builds(kind, numbers) for kind in (Ready, Ping, Pong)),
    predicts(),
    chunks(),
)


def same(a: object, b: object) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype.newbyteorder("<") == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return a == b


def example() -> Predict:
    rng = np.random.default_rng(0)
    return Predict(
        7, 1.25, {"side": rng.integers(0, 256, (8, 8, 3), np.uint8)}, {"side": rng.random((8, 8)) > 0.5}, np.zeros(7), np.ones(1)
    )


def parts(message: Message) -> tuple[dict, bytes]:
    """Header and payload."""
    frame = encode(message)
    _, header, _ = PREFIX.unpack(frame[: PREFIX.size])
    return json.loads(frame[PREFIX.size : PREFIX.size + header]), frame[PREFIX.size + header :]


def frame(header: object, payload: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return PREFIX.pack(MAGIC, len(text), len(payload)) + text + payload


@QUICK
@given(messages)
def test_what_is_written_is_read_back(message: Message) -> None:
    stream = Bytes(encode(message) + b"next")
    back = decode(stream)
    assert type(back) is type(message)
    assert all(same(getattr(message, f.name), getattr(back, f.name)) for f in dataclasses.fields(message))
    assert stream.data == b"next"


@QUICK
@given(messages, st.data())
def test_a_frame_cut_short_is_lost_never_half_a_message(message: Message, data: st.DataObject) -> None:
    whole = encode(message)
    with pytest.raises(WireLost):
        decode(Bytes(whole[: data.draw(st.integers(0, len(whole) - 1))]))


@QUICK
@given(messages, st.data())
def test_a_changed_byte_gives_a_message_or_a_wire_error_and_nothing_else(message: Message, data: st.DataObject) -> None:
    frame = bytearray(encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    stream = Bytes(bytes(frame))
    with contextlib.suppress(WireError, WireLost):
        decode(stream)
    assert stream.most <= max(Limits().header, Limits().payload)


@QUICK
@given(st.binary(max_size=300), st.booleans())
def test_random_bytes_are_refused(data: bytes, begun: bool) -> None:
    with pytest.raises((WireError, WireLost)):
        decode(Bytes(frame(data) if begun else data))


@QUICK
@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x))
)
def test_any_json_that_is_no_message_is_refused(value: object) -> None:
    for header in (value, {"kind": "predict", "fields": value, "arrays": value}, {"kind": value, "fields": {}, "arrays": []}):
        with pytest.raises(WireError):
            decode(Bytes(frame(header)))


LIES: list[tuple[Callable[[dict], object], str]] = [
    (lambda h: h.update(kind="pickle"), "unknown kind"),
    (lambda h: h.update(code="os.system"), "nothing else"),
    (lambda h: h.pop("arrays"), "nothing else"),
    (lambda h: h.update(arrays=[["a", "u1", [0]]] * 65), "at most 64"),
    (lambda h: h.update(fields=[]), "fields is a table"),
    (lambda h: h["fields"].update(number=-1), "number is '-1'"),
    (lambda h: h["fields"].update(number=True), "number is 'True'"),
    (lambda h: h["fields"].update(number=1 << 63), "number is"),
    (lambda h: h["fields"].update(number=1.0), "number is '1.0'"),
    (lambda h: h["fields"].update(time="now"), "time is 'now'"),
    (lambda h: h["fields"].update(time=float("nan")), "NaN is no JSON"),
    (lambda h: h["fields"].update(time=float("inf")), "Infinity is no JSON"),
    (lambda h: h["fields"].pop("time"), "without time"),
    (lambda h: h["fields"].update(token="x"), "holds no 'token'"),
    (lambda h: h["arrays"][0].__setitem__(1, "O"), "dtype 'O'; accepted: u1, bool, f4, f8, i8"),
    (lambda h: h["arrays"][0].__setitem__(1, ["u1"]), "dtype"),
    (lambda h: h["arrays"][0].__setitem__(1, "f4"), "take"),
    (lambda h: h["arrays"][0].__setitem__(2, [-8, -8, 3]), "shape"),
    (lambda h: h["arrays"][0].__setitem__(2, [8, 8, 3.0]), "shape"),
    (lambda h: h["arrays"][0].__setitem__(2, [True, 64, 3]), "shape"),
    (lambda h: h["arrays"][0].__setitem__(2, [1 << 40, 1 << 40, 3]), "shape"),
    (lambda h: h["arrays"][0].__setitem__(2, [0, 1 << 31, 1 << 31, 1 << 31]), "shape"),
    (lambda h: h["arrays"][0].__setitem__(2, [0, 65535, 65535, 65535]), "take"),
    (lambda h: h["arrays"][0].__setitem__(2, [65535, 65535, 65535, 65535]), "take"),
    (lambda h: h["arrays"][0].__setitem__(2, [1, 1, 1, 64, 3]), "up to 4 lengths"),
    (lambda h: h["arrays"][0].__setitem__(2, [192]), "picture 'side' is uint8 \\(192,\\)"),
    (lambda h: h["arrays"][1].__setitem__(2, [8, 9]), "take"),
    (lambda h: h["arrays"][1].__setitem__(2, [64]), "mask 'side'"),
    (lambda h: h["arrays"][2].__setitem__(1, "i8"), "qpos is int64"),
    (lambda h: h["arrays"][2].__setitem__(0, "gripper"), "its own"),
    (lambda h: h["arrays"][2].__setitem__(0, "qvel"), "without qpos"),
    (lambda h: h["arrays"][2].__setitem__(0, 3), "its own"),
    (lambda h: h["arrays"][0].__setitem__(0, "depth/side"), "holds no 'depth/side'"),
    (lambda h: h["arrays"][0].append("x"), "described by"),
    (lambda h: h["arrays"].pop(), "take"),
]


@pytest.mark.parametrize(("lie", "message"), LIES)
def test_a_header_that_lies_is_refused_by_name(lie: Callable[[dict], object], message: str) -> None:
    header, payload = parts(example())
    assert isinstance(decode(Bytes(frame(header, payload))), Predict)
    lie(header)
    with pytest.raises(WireError, match=message):
        decode(Bytes(frame(header, payload)))


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 100_000,
        b'{"kind":' * 20_000,
        b'{"kind":"ping","fields":{"number":' + b"9" * 10_000 + b'},"arrays":[]}',
        b'{"kind":"predict","fields":{"time":1e999},"arrays":[]}',
        b'{"kind":"bye","fields":{"detail":"\\ud800"},"arrays":[]}',
        b'{"kind":"bye","fields":{"detail":"\xff"},"arrays":[]}',
        b'{"kind":"welcome","fields":{"proof":"","contract":{"a":"\\udfff"},"fingerprint":{}},"arrays":[]}',
        b'{"kind":"welcome","fields":{"proof":"","fingerprint":{},"contract":{"a":' + b"[" * 900 + b"]" * 900 + b'}},"arrays":[]}',
        b"\x80\x04K\x01.",
        b"",
    ],
)
def test_hostile_json_is_refused(text: bytes) -> None:
    try:
        message = decode(Bytes(frame(text)))
    except WireError:
        return
    assert isinstance(message, Welcome)  # 900 lists deep is deep, and harmless
    assert encode(message)


@pytest.mark.parametrize(("header", "payload"), [((1 << 18) + 1, 0), (1 << 31, 0), (20, (1 << 26) + 1), (20, (1 << 32) - 1)])
def test_lengths_are_refused_before_anything_is_read(header: int, payload: int) -> None:
    stream = Bytes(PREFIX.pack(MAGIC, header, payload) + bytes(1000))
    with pytest.raises(WireError, match="at most"):
        decode(stream)
    assert stream.most == PREFIX.size


def test_packed_bits_count_as_what_they_become() -> None:
    header, payload = {"kind": "ping", "fields": {}, "arrays": [["a", "bool", [8000]]]}, bytes(1000)
    with pytest.raises(WireError, match="8000 bytes"):
        decode(Bytes(frame(header, payload)), Limits(payload=4000))


def test_a_payload_is_not_read_where_the_header_does_not_describe_it() -> None:
    stream = Bytes(PREFIX.pack(MAGIC, 40, 1 << 20) + b'{"kind":"ping","fields":{},"arrays":[]}'.ljust(40) + bytes(1 << 20))
    with pytest.raises(WireError, match="take 0 bytes"):
        decode(stream)
    assert stream.most == 40


def test_an_observation_arrives_bit_by_bit_also_from_a_view() -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (16, 12, 3), np.uint8)[::-1, ::2]
    seen = Observation({"wrist": image}, {"wrist": image[..., 0] > 99}, rng.normal(size=7), np.array([np.nan]), 12345.678901234567)
    got = decode(Bytes(encode(Predict.of(3, seen))))
    assert isinstance(got, Predict)
    back = got.observation()
    assert back.time == seen.time
    assert np.array_equal(back.images["wrist"], image)
    assert np.array_equal(back.masks["wrist"], seen.masks["wrist"])
    assert back.qpos.tobytes() == seen.qpos.tobytes()
    assert np.isnan(back.gripper).all()


def test_a_chunk_that_is_not_finite_passes_as_data() -> None:
    qpos = np.array([[0.0, np.nan], [np.inf, -0.0]])
    got = decode(Bytes(encode(Chunk.of(example(), ActionChunk(qpos, np.zeros((2, 1))), 0.01))))
    assert isinstance(got, Chunk)
    assert got.chunk().qpos.tobytes() == qpos.tobytes()
    assert (got.number, got.time) == (7, 1.25)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": {"side": np.zeros((8, 8, 3))}}, "picture 'side' is float64 .8, 8, 3.; give .H, W, 3. uint8"),
        ({"images": {"side": np.zeros((3, 8, 8), np.uint8)}}, "give .H, W, 3. uint8"),
        ({"masks": {"side": np.zeros((8, 8), np.uint8)}}, "mask 'side' is uint8"),
        ({"qpos": np.zeros((1, 7))}, "qpos"),
        ({"qpos": np.zeros(7, int)}, "qpos is int64"),
        ({"gripper": np.array(["open"])}, "gripper"),
        ({"qpos": np.zeros(7, np.float16)}, "float16"),
        ({"time": float("nan")}, "cannot be written"),
        ({"qpos": np.zeros(1 << 16)}, "lengths below"),
    ],
)
def test_an_observation_of_another_form_is_refused_where_it_is_sent(change: dict, message: str) -> None:
    with pytest.raises(WireError, match=message):
        encode(dataclasses.replace(example(), **change))


@pytest.mark.parametrize("chunk", [ActionChunk(np.zeros((0, 7)), np.zeros((0, 1))), ActionChunk(np.zeros(7), np.zeros(1))])
def test_what_is_no_chunk_is_refused(chunk: ActionChunk) -> None:
    with pytest.raises(WireError, match="chunk"):
        Chunk.of(example(), chunk, 0.0)


def test_foreign_text_cannot_steer_a_terminal() -> None:
    assert one_line("a\x1b[2Jb\nc\ud800") == "a [2Jb c "
    assert len(one_line("x" * 10_000)) < 500


def test_every_kind_of_message_is_tried_above() -> None:
    assert set(KINDS.values()) == {Hello, Welcome, Refused, Reset, Ready, Predict, Chunk, Failed, Ping, Pong, Bye}
