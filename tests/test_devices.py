"""EGL's numbers of GPUs against CUDA's, by a library that is not there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from sim import devices, gl
from sim.devices import Card, Device, cards, chosen, listed, visible

UUIDS = [f"GPU-{k:08x}-0000-4000-8000-{k:012x}" for k in range(0xA0, 0xB0)]


@dataclass(frozen=True)
class Fake:
    """An EGL of four GPUs in an order of its own, a GPU that CUDA may not use, and a software device."""

    order: tuple[int | None, ...] = (2, 3, None, 0, 1)
    """CUDA's numbers, in EGL's order."""
    says_uuid: bool = True

    def devices(self):
        return [*range(len(self.order)), "software"]

    def text(self, device, name):
        if name == 0x3055:
            if device == "software":
                return "EGL_MESA_device_software"
            return "EGL_NV_device_cuda EGL_EXT_device_drm" + " EGL_EXT_device_persistent_id" * self.says_uuid
        if name == 0x3233 and device != "software":
            return f"/dev/dri/card{device}"
        raise AssertionError("asked for what its extensions do not offer")

    def number(self, device, name):
        assert name == 0x323A
        return self.order[device]

    def binary(self, device, name):
        assert name == 0x335C
        number = self.order[device]
        assert number is not None
        return bytes.fromhex(UUIDS[number].removeprefix("GPU-").replace("-", ""))


SMI = "\n".join(
    [
        f"GPU 0: NVIDIA A100-SXM4-40GB (UUID: {UUIDS[0]})",
        f"GPU 1: NVIDIA A100-SXM4-40GB (UUID: {UUIDS[1]})",
        "  MIG 1g.5gb      Device  0: (UUID: MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f)",
        "  MIG 1g.5gb      Device  1: (UUID: MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb)",
        f"GPU 2: NVIDIA A100-SXM4-40GB (UUID: {UUIDS[2]})",
        f"GPU 3: NVIDIA A100-SXM4-40GB (UUID: {UUIDS[3]})",
    ]
)


def nobody():
    raise AssertionError("nvidia-smi is not needed")


@pytest.mark.parametrize(
    ("said", "indices"),
    [
        (None, (3, 4, 0, 1)),
        ("0", (3,)),
        ("2,0", (0, 3)),
        (" 1 , 3", (4, 1)),
        ("1,1", (4,)),
        ("0,7,1", (3,)),  # as for CUDA, what follows a GPU that is not there is hidden
        ("-1", ()),
        ("0,-1,1", (3,)),
        ("", ()),
        ("none", ()),
        ("NoDevFiles", ()),
        (UUIDS[1], (4,)),
        (f"{UUIDS[3]},{UUIDS[0]}", (1, 3)),
        (UUIDS[2][:12], (0,)),
        (UUIDS[2].upper().replace("GPU", "GPU"), (0,)),
        ("GPU-0000", ()),  # the beginning of all
        ("GPU-ffffffff", ()),
        (f"MIG-{UUIDS[1]}/1/0", (4,)),
    ],
)
def test_what_cuda_may_use_is_drawn_on(said, indices):
    assert visible(listed(Fake()), said, nobody) == indices


@pytest.mark.parametrize(
    ("said", "indices"),
    [
        (UUIDS[1], (4,)),
        (UUIDS[3][:12], (1,)),
        ("MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f", (4,)),
        ("MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f,MIG-cba663e8", (4,)),  # two instances of one GPU
        ("MIG-ffff", ()),
        ("MIG-", (4,)),
    ],
)
@pytest.mark.parametrize("says_uuid", [True, False])
def test_names_that_egl_does_not_know_are_asked_of_nvidia_smi(said, indices, says_uuid):
    assert visible(listed(Fake(says_uuid=says_uuid)), said, lambda: cards(SMI)) == indices


def test_nvidia_smi_is_read():
    found = cards(SMI)
    assert [card.uuid for card in found] == UUIDS[:4]
    assert [len(card.parts) for card in found] == [0, 2, 0, 0]
    assert cards("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.") == ()


def test_processes_take_turns():
    there = listed(Fake())
    assert [chosen(there, "3,0", number) for number in range(5)] == [1, 3, 1, 3, 1]
    assert [chosen(there, None, number) for number in range(5)] == [3, 4, 0, 1, 3]


def test_what_is_hidden_from_cuda_is_not_drawn_on_where_software_can():
    assert chosen(listed(Fake()), "", 0) == 5
    gpu_alone = [Device(0, "NVIDIA", 0, UUIDS[0], "", software=False)]
    assert chosen(gpu_alone, "", 0) is None, "then EGL decides"
    assert chosen([Device(0, "software", None, "", "", software=True)], "", 0) is None, "no word of CUDA's: EGL decides"


def test_devices_that_mujoco_does_not_know_are_left_alone():
    there = listed(Fake(order=tuple(range(16))))
    assert visible(there, "9,10,2", nobody) == (9,)


def test_a_person_s_choice_stays_and_ours_is_made_anew(monkeypatch):
    monkeypatch.setattr(devices, "ask", lambda: listed(Fake()))
    monkeypatch.setattr(devices, "Path", lambda path: Path("/") if path == "/dev/nvidiactl" else Path(path))
    for name in (devices.NAMED, devices._OURS):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,1")
    monkeypatch.setenv("MUJOCO_GL", "egl")
    for number, index in enumerate(["0", "4", "0"]):  # a child inherits what was set for its parent
        monkeypatch.setenv(gl.WORKER, str(number))
        gl.settle_device()
        assert os.environ[devices.NAMED] == index
    monkeypatch.setenv(devices.NAMED, "5")
    gl.settle_device()
    assert os.environ[devices.NAMED] == "5"
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    monkeypatch.delenv(devices.NAMED)
    gl.settle_device()
    assert devices.NAMED not in os.environ


def test_egl_of_this_machine_is_asked_in_a_child():
    there = devices.ask()
    if not there:
        pytest.skip("no EGL here")
    assert [device.index for device in there] == list(range(len(there)))
    assert all(device.name for device in there)


def test_children_are_told_their_number_and_back_end(monkeypatch):
    monkeypatch.setenv("PYOPENGL_PLATFORM", "osmesa")
    before = dict(os.environ)
    with gl.children("egl", 3):
        assert os.environ["MUJOCO_GL"] == "egl"
        assert os.environ[gl.WORKER] == "3"
        assert "PYOPENGL_PLATFORM" not in os.environ
    assert dict(os.environ) == before


def test_cards_are_values():
    assert Card(0, UUIDS[0], ()) == cards(SMI)[0]
