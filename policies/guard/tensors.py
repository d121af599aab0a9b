"""Safetensors by strangers: the header is compared with what is wanted before one number is read."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from policies.errors import PolicyError
from policies.guard.folder import open_file, shown
from policies.guard.table import SIZE, parse_table

DTYPES = {torch.float32: "F32", torch.float64: "F64", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64", torch.bool: "BOOL"}
"""As safetensors calls them."""
WIDTH = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
"""Bytes of a number."""
LARGEST = 1e6
"""Of a weight: training ends far below, and sums of larger ones overflow."""


DIMS = 8
"""Of a tensor."""


@dataclass(frozen=True)
class Wanted:
    """What a tensor must be."""

    shape: tuple[int, ...]
    dtypes: tuple[torch.dtype, ...] = (torch.float32, torch.float64)


def read_tensors(file: Path, wanted: Mapping[str, Wanted], whose: str) -> dict[str, Tensor]:
    """The tensors of a file that holds exactly the wanted ones, finite and of a size that weights have. Raises PolicyError.

    Args:
        file: safetensors.
        wanted: by name.
        whose: what asks for them, for messages.
    """
    _compare(file.name, read_header(file), wanted, whose)
    try:
        found = load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise PolicyError(f"{file.name} is damaged ({shown(error)})") from None
    for name, tensor in found.items():
        if not tensor.is_floating_point() or not tensor.numel():
            continue
        values = tensor.numpy()  # torch would share this out among threads, which wait for each other on a busy machine
        most = max(float(values.max()), -float(values.min()))
        if not math.isfinite(most):  # NaN spreads to both
            raise PolicyError(f"{file.name}: {name} holds values that are not finite numbers")
        if most > LARGEST:
            raise PolicyError(f"{file.name}: {name} holds {most:.3g}; no training ends with a weight beyond {LARGEST:g}")
    return found


def read_header(file: Path) -> dict[str, Any]:
    """Of each tensor in a safetensors file, by name: dtype, shape, data_offsets; checked against the file's size. Raises PolicyError."""
    with open_file(file) as held:
        size = os.fstat(held.fileno()).st_size
        header, length = _header(held, file.name, size)
    header.pop("__metadata__", None)
    spans = []
    for name, row in header.items():
        try:
            dtype, shape, (begin, end) = row["dtype"], row["shape"], row["data_offsets"]
            whole = len(shape) <= DIMS and all(type(n) is int and 0 <= n < 1 << 48 for n in (*shape, begin, end))
        except (TypeError, KeyError, ValueError):
            whole, dtype, shape, begin, end = False, "", [], 0, 0
        if not whole or dtype not in WIDTH:
            raise PolicyError(f"{file.name} is damaged ({shown(name, 60)} is of no known type, or its shape is none)")
        if end - begin != math.prod(shape) * WIDTH[dtype]:
            raise PolicyError(f"{file.name} is damaged ({shown(name, 60)} has {end - begin} bytes, its shape asks for another number)")
        spans.append((begin, end))
    reached = 0
    for begin, end in sorted(spans):
        if begin != reached:
            raise PolicyError(f"{file.name} is damaged (its tensors overlap, or leave gaps)")
        reached = end
    if 8 + length + reached != size:
        raise PolicyError(f"{file.name} is damaged ({size} bytes, its header asks for {8 + length + reached}): was it cut short?")
    return header


def _header(held: BufferedReader, name: str, size: int) -> tuple[dict[str, Any], int]:
    """The header, and its length [bytes]."""
    length = int.from_bytes(held.read(8), "little")
    if size < 8 or length > size - 8:
        raise PolicyError(f"{name} is damaged ({size} bytes; its header alone would have {length}): was it cut short?")
    if length > SIZE:
        raise PolicyError(f"{name} is damaged (its header has {length} bytes; at most {SIZE >> 20} MB are read)")
    return parse_table(held.read(length), name), length


def _compare(file: str, header: Mapping[str, Any], wanted: Mapping[str, Wanted], whose: str) -> None:
    if header.keys() != wanted.keys():
        missing, extra = sorted(wanted.keys() - header.keys()), sorted(header.keys() - wanted.keys())
        lacks, has = (shown(names[:3] or "nothing") for names in (missing, extra))
        raise PolicyError(f"{file} does not fit {whose}: missing {lacks}, unknown {has}")
    for name, row in header.items():
        shape, known = tuple(wanted[name].shape), [DTYPES[dtype] for dtype in wanted[name].dtypes]
        if tuple(row["shape"]) != shape:
            raise PolicyError(f"{file}: {name} has shape {shown(tuple(row['shape']))}, {whose} asks for {shape}")
        if row["dtype"] not in known:
            raise PolicyError(f"{file}: {name} is of type {row['dtype']}, {' or '.join(known)} is wanted")
