"""On which GPU EGL draws. EGL numbers devices in an order of its own, which CUDA_VISIBLE_DEVICES does not change.

MuJoCo takes EGL's first device unless MUJOCO_EGL_DEVICE_ID says another. `settle` sets it to a GPU that CUDA may use, before MuJoCo makes a
context. It asks EGL in a child process: a driver may hang, and what EGL_CUDA_DEVICE_NV says there is CUDA's own number of a GPU, where
with CUDA_VISIBLE_DEVICES some drivers count what is visible only. Run as a script it prints EGL's devices; the standard library alone.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

DEADLINE = 30.0
"""How long EGL may take to name its devices [s]."""
NAMED = "MUJOCO_EGL_DEVICE_ID"
_OURS = "CEZANNE_EGL_DEVICE"
"""What `settle` set NAMED to: a child process may settle otherwise, what a person set stays."""
_MOST = 10
"""MuJoCo knows so many devices."""
_VENDOR, _EXTENSIONS, _DRM, _CUDA, _RENDER_NODE, _UUID, _RENDERER = 0x3053, 0x3055, 0x3233, 0x323A, 0x3377, 0x335C, 0x335F


@dataclass(frozen=True)
class Device:
    """One of EGL's."""

    index: int
    """EGL's number of it, and MuJoCo's."""
    name: str
    cuda: int | None
    """CUDA's number of it where nothing is hidden; None: CUDA cannot use it."""
    uuid: str
    """GPU-..., empty where the driver does not say."""
    file: str
    """Of the kernel; empty: none."""
    software: bool


@dataclass(frozen=True)
class Card:
    """A GPU as `nvidia-smi -L` names it."""

    index: int
    uuid: str
    parts: tuple[str, ...]
    """Names of its MIG instances."""


class Library(Protocol):
    """EGL, as far as it is asked here. What a device does not say is empty or None."""

    def devices(self) -> Sequence[Any]:
        """Handles, in EGL's order."""
        ...

    def text(self, device: Any, name: int) -> str:
        """By eglQueryDeviceStringEXT."""
        ...

    def number(self, device: Any, name: int) -> int | None:
        """By eglQueryDeviceAttribEXT."""
        ...

    def binary(self, device: Any, name: int) -> bytes:
        """By eglQueryDeviceBinaryEXT, at most 16 bytes."""
        ...


class Egl:
    """The library of this machine. Raises OSError where there is none, or one that lists no devices."""

    def __init__(self) -> None:
        self._egl = ctypes.CDLL("libEGL.so.1")
        self._egl.eglGetProcAddress.restype = ctypes.c_void_p
        self._egl.eglGetProcAddress.argtypes = [ctypes.c_char_p]
        handle, number, out = ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p
        self._list = self._function("eglQueryDevicesEXT", ctypes.c_uint, number, out, out)
        self._text = self._function("eglQueryDeviceStringEXT", ctypes.c_char_p, handle, number)
        self._number = self._function("eglQueryDeviceAttribEXT", ctypes.c_uint, handle, number, out)
        with suppress(OSError):
            self._binary = self._function("eglQueryDeviceBinaryEXT", ctypes.c_uint, handle, number, number, out, out)

    def devices(self) -> list[int]:
        handles, count = (ctypes.c_void_p * 64)(), ctypes.c_int()
        if not self._list(64, handles, ctypes.byref(count)):
            raise OSError("EGL does not list its devices")
        return [handle for handle in handles[: count.value] if handle]

    def text(self, device: int, name: int) -> str:
        said = self._text(device, name)
        return said.decode(errors="replace") if said else ""

    def number(self, device: int, name: int) -> int | None:
        value = ctypes.c_ssize_t(-1)
        return value.value if self._number(device, name, ctypes.byref(value)) and value.value >= 0 else None

    def binary(self, device: int, name: int) -> bytes:
        value, size = (ctypes.c_ubyte * 16)(), ctypes.c_int()
        said = getattr(self, "_binary", None)
        return bytes(value[: size.value]) if said and said(device, name, 16, value, ctypes.byref(size)) else b""

    def _function(self, name: str, result: Any, *arguments: Any) -> Any:
        address = self._egl.eglGetProcAddress(name.encode())
        if not address:
            raise OSError(f"EGL has no {name}")
        return ctypes.CFUNCTYPE(result, *arguments)(address)


def listed(library: Library) -> tuple[Device, ...]:
    """All devices of a library. A device is asked only what its extensions offer: others set errors, or crash."""
    return tuple(_device(library, k, handle) for k, handle in enumerate(library.devices()))


def _device(library: Library, index: int, handle: Any) -> Device:
    offers = library.text(handle, _EXTENSIONS).split()
    name = library.text(handle, _RENDERER) if "EGL_EXT_device_query_name" in offers else ""
    vendor = library.text(handle, _VENDOR) if "EGL_EXT_device_query_name" in offers else ""
    cuda = library.number(handle, _CUDA) if "EGL_NV_device_cuda" in offers else None
    told = library.binary(handle, _UUID).hex() if "EGL_EXT_device_persistent_id" in offers and cuda is not None else ""
    uuid = f"GPU-{told[:8]}-{told[8:12]}-{told[12:16]}-{told[16:20]}-{told[20:]}" if len(told) == 32 else ""
    files = [library.text(handle, _RENDER_NODE)] if "EGL_EXT_device_drm_render_node" in offers else []
    files += [library.text(handle, _DRM)] if "EGL_EXT_device_drm" in offers else []
    software = "EGL_MESA_device_software" in offers
    kind = "software" if software else "NVIDIA" if cuda is not None else "unnamed"
    return Device(index, name or vendor or kind, cuda, uuid, next(filter(None, files), ""), software)


def ask(deadline: float = DEADLINE) -> tuple[Device, ...]:
    """EGL's devices, asked in a child process where nothing is hidden from CUDA. Empty where EGL does not say, or not in time."""
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    command = [sys.executable, "-ISs", str(Path(__file__).resolve())]
    try:
        child = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=deadline)
        return tuple(Device(**row) for row in json.loads(child.stdout)) if child.returncode == 0 else ()
    except (OSError, subprocess.TimeoutExpired, ValueError, TypeError):
        return ()


def ask_cards(deadline: float = DEADLINE) -> tuple[Card, ...]:
    """GPUs with their UUIDs and instances, by `nvidia-smi -L`. Empty where that does not say."""
    try:
        child = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=deadline)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return cards(child.stdout)


def cards(said: str) -> tuple[Card, ...]:
    """What `nvidia-smi -L` says, read."""
    found: list[Card] = []
    for line in said.splitlines():
        if card := re.match(r"GPU (\d+): .*\(UUID: (GPU-[\w-]+)\)", line):
            found.append(Card(int(card[1]), card[2], ()))
        elif found and (part := re.match(r"\s+MIG .*\(UUID: (MIG-[\w/-]+)\)", line)):
            last = found[-1]
            found[-1] = Card(last.index, last.uuid, (*last.parts, part[1]))
    return tuple(found)


def visible(
    devices: Sequence[Device], said: str | None, known: Callable[[], Sequence[Card]] = ask_cards, most: int = _MOST
) -> tuple[int, ...]:
    """EGL's numbers of the GPUs that CUDA may use, in the order of CUDA_VISIBLE_DEVICES.

    Args:
        devices: EGL's.
        said: the variable's value; None: it is not set, and nothing is hidden. Numbers, GPU-... (or the beginning of one) and MIG-...; as
            for CUDA, what follows a name that is nobody's is hidden, and an empty value hides all. An instance of a GPU stands for the GPU.
        known: GPUs by name, asked where EGL says no UUID, and for instances.
        most: devices that MuJoCo knows.
    """
    gpus = {device.cuda: device for device in devices if device.cuda is not None and device.index < most}
    if said is None:
        return tuple(gpus[number].index for number in sorted(gpus))
    found: list[int] = []
    for word in (word.strip() for word in said.split(",")):
        device = gpus.get(int(word)) if word.isdecimal() else _named(gpus, word, known)
        if device is None:
            break
        if device.index not in found:
            found.append(device.index)
    return tuple(found)


def _named(gpus: dict[int, Device], word: str, known: Callable[[], Sequence[Card]]) -> Device | None:
    """The GPU that a UUID means, whole or its beginning; None where it means none, or several."""
    if word.startswith("MIG-GPU-"):  # as it was until driver 470: MIG-GPU-<uuid>/<instance>/<instance>
        word = word.removeprefix("MIG-").partition("/")[0]
    if word.startswith("MIG-"):
        owners = {card.uuid for card in known() if any(part.startswith(word) for part in card.parts)}
        if len(owners) != 1:
            return None
        word = owners.pop()
    if not word.startswith("GPU-"):
        return None
    if any(device.uuid for device in gpus.values()):
        meant = [device for device in gpus.values() if device.uuid.lower().startswith(word.lower())]
    else:
        meant = [gpus[card.index] for card in known() if card.index in gpus and card.uuid.lower().startswith(word.lower())]
    return meant[0] if len(meant) == 1 else None


def chosen(devices: Sequence[Device], said: str | None, number: int, known: Callable[[], Sequence[Card]] = ask_cards) -> int | None:
    """EGL's number of the device that the process of a number draws on: processes take turns with the GPUs.

    Where everything is hidden from CUDA a software device, if EGL has one. None: EGL decides, as where it knows nothing of CUDA.
    """
    indices = visible(devices, said, known)
    if not indices and said is not None and any(device.cuda is not None for device in devices):
        indices = tuple(device.index for device in devices if device.software and device.index < _MOST)[:1]
    return indices[number % len(indices)] if indices else None


def settle(number: int = 0) -> None:
    """Sets MUJOCO_EGL_DEVICE_ID for this process, the `number`th of its parent's, unless a person has set it. For NVIDIA's GPUs only."""
    if os.environ.get(NAMED) not in (None, os.environ.get(_OURS)) or not Path("/dev/nvidiactl").exists():
        return
    index = chosen(ask(), os.environ.get("CUDA_VISIBLE_DEVICES"), number)
    for name in (NAMED, _OURS):
        if index is not None:
            os.environ[name] = str(index)
        else:
            os.environ.pop(name, None)


if __name__ == "__main__":
    print(json.dumps([asdict(device) for device in listed(Egl())]))
