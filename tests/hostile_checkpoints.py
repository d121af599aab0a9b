"""Checkpoints as nobody should make them: how each is made from a good one, and what is to be said of it."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Row:
    """One hostile checkpoint."""

    name: str
    said: str
    """What the refusal must hold, a regular expression."""
    make: Callable[[Path], object]
    """Spoils a good checkpoint; it has no checksums, so that what is found is what is said."""
    sums: bool = False
    """Whether it has checksums after all."""

    def __str__(self) -> str:
        return self.name


def serve() -> None:
    """For `hostile_child.Server`: opens policies by the public door."""
    import hostile_child

    from policies import PolicyError, load_policy

    torch.set_num_threads(1)

    def opened(path: str) -> str:
        policy = load_policy(path)
        digest = hashlib.sha256()
        for name, tensor in sorted(policy._network.state_dict().items()):  # type: ignore[union-attr]
            digest.update(name.encode() + tensor.numpy().tobytes())
        return digest.hexdigest()

    hostile_child.serve({"open": opened}, PolicyError)


def table(name: str, change: Callable[[dict], object]) -> Callable[[Path], object]:
    """Changes a JSON file."""

    def make(path: Path) -> None:
        held = json.loads((path / name).read_text())
        change(held)
        (path / name).write_text(json.dumps(held))

    return make


def text(name: str, change: Callable[[str], str]) -> Callable[[Path], object]:
    """Changes a file's text."""
    return lambda path: (path / name).write_text(change((path / name).read_text()))


def tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], object]:
    """Changes the weights."""

    def make(path: Path) -> None:
        held = load_file(path / WEIGHTS)
        change(held)
        save_file(held, path / WEIGHTS)

    return make


def header(change: Callable[[dict], object], data: int | None = None) -> Callable[[Path], object]:
    """Changes the header of the weights, and how many bytes follow it."""

    def make(path: Path) -> None:
        held = (path / WEIGHTS).read_bytes()
        length = struct.unpack("<Q", held[:8])[0]
        head, body = json.loads(held[8 : 8 + length]), held[8 + length :]
        change(head)
        raw = json.dumps(head).encode()
        (path / WEIGHTS).write_bytes(struct.pack("<Q", len(raw)) + raw + (body if data is None else bytes(data)))

    return make


def first(head: dict) -> dict:
    """The row of the first tensor."""
    return head[sorted(head)[0]]


def raw(name: str, content: bytes) -> Callable[[Path], object]:
    """Puts a file there."""
    return lambda path: (path / name).write_bytes(content)


def instead(name: str, put: Callable[[Path], object]) -> Callable[[Path], object]:
    """Takes a file away and puts something else in its place."""

    def make(path: Path) -> None:
        (path / name).unlink()
        put(path / name)

    return make


EVIL = "/tmp/cezanne-was-here"
VIEW = {"height": 32, "width": 32, "fovy": 45.0, "intrinsics": [[1, 0, 0]] * 3, "extrinsics": [[1, 0, 0, 0]] * 4}


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {EVIL}",)


def sparse(path: Path) -> None:
    """A terabyte that takes no room."""
    head = json.dumps({"x": {"dtype": "F32", "shape": [1 << 38], "data_offsets": [0, 1 << 40]}}).encode()
    with (path / WEIGHTS).open("wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        file.truncate(8 + len(head) + (1 << 40))


def million(path: Path) -> None:
    """A million tensors of nothing."""
    rows = ",".join(f'"{k}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}' for k in range(1_000_000)).encode()
    (path / WEIGHTS).write_bytes(struct.pack("<Q", len(rows) + 2) + b"{" + rows + b"}")


def policy(**changes: object) -> Callable[[Path], object]:
    return table("config.json", lambda t: t["policy"].update(changes))


def encoder(**changes: object) -> Callable[[Path], object]:
    return table("config.json", lambda t: t["policy"]["encoder"].update(changes))


def contract(**changes: object) -> Callable[[Path], object]:
    return table("contract.json", lambda t: t.update(changes))


def stats(name: str, value: float) -> Callable[[Path], object]:
    """The first number under a name."""

    def change(held: dict) -> None:
        rows = held[name]
        while isinstance(rows[0], list):
            rows = rows[0]
        rows[0] = value

    return table("stats.json", change)


def _only(path: Path) -> None:
    (path / "config.json").rename(path / "model.pth")


def _jaw(path: Path) -> None:
    table("stats.json", lambda t: t["proprio_mean"].__setitem__(3, 255.0))(path)


def _bit(path: Path) -> None:
    tensors(lambda w: w["head.bias"].view(-1)[:1].add_(1e-3))(path)


def _heads(path: Path) -> None:
    """A change that fits every shape."""
    encoder(heads=4)(path)


BOMBS = [
    Row("header of 2^63", r"its header alone would have 9223372036854775808", raw(WEIGHTS, struct.pack("<Q", 1 << 63) + b"{}")),
    Row("huge header", r"its header has 9000000 bytes", raw(WEIGHTS, struct.pack("<Q", 9_000_000) + b" " * 9_000_000)),
    Row("million tensors", r"its header has \d+ bytes; at most 4 MB", million),
    Row("terabyte", r"does not fit config.json: missing", sparse),
    Row("shape overflows", r"is of no known type, or its shape is none", header(lambda h: first(h).update(shape=[1 << 62, 1 << 62]))),
    Row("long shape", r"is of no known type, or its shape is none", header(lambda h: first(h).update(shape=[2] * 10_000))),
    Row("dim of 10^9", r"dim=1000000000; a whole number, at most 8192", encoder(dim=10**9)),
    Row("width of 10^9", r"width=1000000000; .* at most 16384", policy(width=10**9)),
    Row("layers of 10^9", r"layers=1000000000; .* at most 128", encoder(layers=10**9)),
    Row("blocks of 10^9", r"blocks=1000000000; .* at most 128", policy(blocks=10**9)),
    Row("chunk of 10^9", r"chunk=1000000000; .* at most 1024", policy(chunk=10**9)),
    Row("largest allowed", r"has shape|does not fit", lambda p: (encoder(dim=8192, layers=128, heads=64)(p), policy(width=16384)(p))),
    Row("pictures of 10^9", r"pixels 1000000000; a whole number from 1 to 8192", contract(size=[10**9, 10**9])),
    Row("10^6 cameras", r"cameras; 1 to 64 names", contract(cameras=["side"] * 100_000)),
    Row("gripper of 10^9", r"gripper 1000000000; a whole number from 1 to 1000", contract(gripper=10**9)),
    Row("deep JSON", r"config.json is damaged \(tables within tables", raw("config.json", b"[" * 200_000)),
    Row("deep table", r"fingerprint.json is damaged \(tables within", raw("fingerprint.json", b'{"a":' * 100 + b"1" + b"}" * 100)),
    Row("large JSON", r"stats.json has more than 4 MB", raw("stats.json", b"[" + b"0," * (5 << 20) + b"0]")),
    Row(
        "long number", r"contract.json is damaged", text("contract.json", lambda t: t.replace('"gripper": 1', '"gripper": 1' + "0" * 9000))
    ),
    Row("infinite number", r"1e999 is beyond all numbers", text("contract.json", lambda t: t.replace('"dt": 0.05', '"dt": 1e999'))),
]
FILES = [
    Row("a pipe", r"config.json is no regular file", instead("config.json", os.mkfifo)),
    Row("weights are a pipe", r"weights.safetensors is no regular file", instead(WEIGHTS, os.mkfifo)),
    Row("a folder", r"stats.json (is no regular file|cannot be read)", instead("stats.json", Path.mkdir)),
    Row("a link outside", r"contract.json is a link that leads out", instead("contract.json", lambda f: f.symlink_to("/etc/passwd"))),
    Row("a link to a device", r"weights.safetensors is a link that leads out", instead(WEIGHTS, lambda f: f.symlink_to("/dev/zero"))),
    Row("a dangling link", r"fingerprint.json is (a link|missing)", instead("fingerprint.json", lambda f: f.symlink_to("nowhere"))),
    Row("a pickle as weights", r"weights.safetensors is damaged", raw(WEIGHTS, pickle.dumps(_Evil()))),
    Row("pytorch_model.bin", r"pytorch_model.bin, which may run code; .* safetensors", raw("pytorch_model.bin", pickle.dumps(_Evil()))),
    Row("model.PT", r"holds model.PT, which may run code", raw("model.PT", pickle.dumps(_Evil()))),
    Row("last.ckpt", r"holds last.ckpt, which may run code", raw("last.ckpt", b"")),
    Row("policy.py", r"holds policy.py, which may run code", raw("policy.py", b"raise SystemExit")),
    Row("only a pickle", r"no config.json; model.pth is of a kind that may run code", _only),
]  # fmt: skip
CODE = [
    Row("_target_", r"unknown key '_target_' of policy", policy(_target_="os.system")),
    Row("_target_ in the encoder", r"unknown key '_target_' of policy.encoder", encoder(_target_="os.system")),
    Row("interpolation", r"backbone='\$\{oc.env:HOME\}' is no plain word", encoder(backbone="${oc.env:HOME}")),
    Row("missing value", r"pooling='\?\?\?' is no plain word", encoder(pooling="???")),
    Row("hub address", r"backbone='hf_hub:evil/x' is no name of timm's", encoder(backbone="hf_hub:evil/x")),
    Row("hub address as a tag", r"is no name of timm's", encoder(backbone="vit_tiny_patch16_224.hf_hub:evil/x")),
    Row("local folder", r"is no name of timm's", encoder(backbone="local-dir:/tmp/evil")),
    Row("path", r"is no name of timm's", encoder(backbone="../../evil")),
    Row("control letters", r"is no plain word", encoder(backbone="\x1b[2Jvit")),
    Row("unknown pooling", r"config.json: encoder.pooling: .*'magic', expected one of", encoder(pooling="magic")),
    Row("encoder is a list", r"encoder is no table", policy(encoder=[1])),
    Row("policy is a list", r"has no table 'policy'", table("config.json", lambda t: t.update(policy=[]))),
    Row("width is a list", r"width of policy is no single value", policy(width=[32])),
    Row("width is text", r"width='32'; a whole number", policy(width="32")),
    Row("future format", r"config.json has format 2, this version reads 1", table("config.json", lambda t: t.update(format=2))),
    Row("key twice", r"'format' is there twice", text("config.json", lambda t: t.replace("{", '{"format": 1,', 1))),
    Row("not UTF-8", r"config.json is damaged", raw("config.json", b"\xff\xfe{}")),
]
FITS = [
    Row("degrees in the contract", r"units .*deg", table("contract.json", lambda t: t["units"].update(qpos="deg"))),
    Row("camera twice", r"cameras: side, side; each has a name", contract(cameras=["side", "side"])),
    Row("camera named a path", r"camera name '../x'", contract(cameras=["side", "../x"])),
    Row("joint of control letters", r"a name of 1 to 128 letters", contract(joints=["a", "b", "\x1b[2J"])),
    Row("no joints", r"joints; 1 to 1000 names", contract(joints=[])),
    Row("dt of 0", r"dt=0 s", contract(dt=0)),
    Row("dt is text", r"'0.05'; a number is wanted", contract(dt="0.05")),
    Row("half a value", r"gripper 1.5; a whole number", contract(gripper=1.5)),
    Row("view of another size", r"view of 64 x 64 px; its pictures have", contract(views={"side": VIEW | {"height": 64, "width": 64}})),
    Row("view of no camera", r"views of top; its cameras", contract(views={"top": VIEW})),
    Row("other width", r"stats.json: proprio_mean has shape \(4,\), the contract asks for \(3,\)", contract(joints=["a", "b"])),
    Row("degrees in the statistics", r"a at 57.3 rad is beyond a full turn; are these degrees", stats("proprio_mean", 57.3)),
    Row("NaN in the statistics", r"stats.json is damaged \(NaN is no number", stats("action_mean", float("nan"))),
    Row("beyond float32", r"action_std is not finite", stats("action_std", 1e300)),
    Row("spread of 0", r"a spread is not above 0", stats("proprio_std", 0.0)),
    Row("negative spread", r"a spread is not above 0", stats("action_std", -1.0)),
    Row("gripper of 255", r"a gripper at 255; its values go from 0 closed", _jaw),
    Row("millimetres", r"a grasp 480 m from the robot's base; are these millimetres", stats("grasp_mean", 480.0)),
    Row("words for numbers", r"no numbers under 'proprio_mean'", table("stats.json", lambda t: t.update(proprio_mean=["1"] * 4))),
    Row("truth for numbers", r"no numbers under 'proprio_mean'", table("stats.json", lambda t: t.update(proprio_mean=[True] * 4))),
]  # fmt: skip
NUMBERS = [
    Row("NaN", r"head.bias holds values that are not finite", tensors(lambda w: w["head.bias"].fill_(float("nan")))),
    Row("one infinity", r"head.bias holds values that are not finite", tensors(lambda w: w["head.bias"][3:4].fill_(-torch.inf))),
    Row("huge", r"head.bias holds 1e\+30", tensors(lambda w: w["head.bias"].fill_(1e30))),
    Row("huge below zero", r"head.bias holds 1e\+30", tensors(lambda w: w["head.bias"].fill_(-1e30))),
    Row("half precision", r"head.bias is of type F16, F32 is wanted", tensors(lambda w: w.update({"head.bias": w["head.bias"].half()}))),
    Row("whole numbers", r"head.bias is of type I64", tensors(lambda w: w.update({"head.bias": w["head.bias"].long()}))),
    Row("unknown type", r"is of no known type", header(lambda h: first(h).update(dtype="PICKLE"))),
    Row("other shape", r"head.bias has shape \(2,\)", tensors(lambda w: w.update({"head.bias": torch.zeros(2)}))),
    Row("one is missing", r"missing .*head.bias", tensors(lambda w: w.pop("head.bias"))),
    Row("one too many", r"unknown .*os.system", tensors(lambda w: w.update({"os.system": torch.zeros(1)}))),
    Row("overlap", r"overlap, or leave gaps|asks for another", header(lambda h: first(h).update(data_offsets=[4, 8]))),
    Row("offsets backwards", r"asks for another number|no known type", header(lambda h: first(h).update(data_offsets=[64, 0]))),
    Row("negative offsets", r"is of no known type, or its shape is none", header(lambda h: first(h).update(data_offsets=[-4, 0]))),
    Row("cut short", r"was it cut short", header(lambda h: None, data=100)),
    Row("more than it says", r"was it cut short", lambda p: (p / WEIGHTS).write_bytes((p / WEIGHTS).read_bytes() + b"x")),
    Row("empty", r"was it cut short", raw(WEIGHTS, b"")),
    Row("a flipped bit", r"weights.safetensors is not what was written", _bit, sums=True),
    Row("heads that fit as well", r"config.json is not what was written", _heads, sums=True),
    Row("sums of nothing", r"checksums.json does not know config.json", raw("checksums.json", b"{}"), sums=True),
    Row("sums are damaged", r"checksums.json is damaged", raw("checksums.json", b"{"), sums=True),
]  # fmt: skip
ROWS = [*BOMBS, *FILES, *CODE, *FITS, *NUMBERS]
