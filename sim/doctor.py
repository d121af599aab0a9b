"""What works on this machine: rendering, GPU, versions, disk, memory; and what to do about the rest."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from sim import backends, devices, gl, watchdog

PACKAGES = (
    "cezanne",
    "mujoco",
    "torch",
    "robosuite",
    "gymnasium",
    "lerobot",
    "opencv-python",
    "zarr",
    "hydra-core",
    "numpy",
    "scipy",
    "trimesh",
    "manifold3d",
    "lavavu-osmesa",
)
ROOM_TO_WORK = 5e9
"""Disk that data, runs and videos of a demo want [bytes]."""
MEMORY_TO_WORK = 6e9
"""Memory that a demo may peak at [bytes]."""
OPTIONAL = {"rerun-sdk": "to open episodes in Rerun"}


@dataclass
class DoctorConfig:
    """What to look at, and how to say it."""

    json: bool = False
    """Only the last line: the findings as JSON."""
    deadline: float = gl.DEADLINE
    """How long a back end may take to show a picture before it counts as hanging [s]."""
    compare: bool = True
    """Draw one scene with every back end that renders, and compare the pictures; a few seconds each."""

    def __post_init__(self) -> None:
        if not 1 <= self.deadline <= 600:
            raise gl.GLError(f"deadline={self.deadline:g}: a back end needs 1 to 600 s")


def run(cfg: DoctorConfig) -> dict:
    """Looks at everything; prints what a person wants to know unless only JSON is wanted. `ok` says whether anything renders."""
    found = examine(cfg.deadline, compare=cfg.compare)
    if not cfg.json:
        print(report(found))
    return found


def examine(deadline: float = gl.DEADLINE, *, compare: bool = True) -> dict:
    """Everything that is known about this machine, as JSON values."""
    probes = [gl.probe(backend, deadline=deadline) for backend in gl.BACKENDS]
    found = {
        "ok": any(probe.ok for probe in probes),
        "gl": {probe.backend: {"ok": probe.ok, "detail": probe.detail, "seconds": round(probe.seconds, 2)} for probe in probes},
        "gl_chosen": os.environ.get("MUJOCO_GL"),
        "pictures": _pictures([probe.backend for probe in probes if probe.ok]) if compare else None,
        "egl_devices": _egl_devices(deadline),
        "render_deadline": watchdog.deadline(),
        "osmesa": _osmesa(),
        "gpu": _gpu(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: _version(name) for name in (*PACKAGES, *OPTIONAL)},
        "ffmpeg": _ffmpeg(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "memory_free_gb": round(psutil.virtual_memory().available / 1e9, 1),
        "disk_free_gb": round(shutil.disk_usage(".").free / 1e9, 1),
        "objects": _objects(),
    }
    found["advice"] = advise(found)
    return found


def advise(found: dict) -> list[str]:
    """What to do about what is missing, most important first."""
    advice = []
    if not found["ok"]:
        advice.append(
            "nothing renders: run `make setup` again (it installs lavavu-osmesa, which renders anywhere), or apt install libosmesa6 libegl1"
        )
    elif found["gl_chosen"] in found["gl"] and not found["gl"][found["gl_chosen"]]["ok"]:
        working = next(name for name, probe in found["gl"].items() if probe["ok"])
        advice.append(f"MUJOCO_GL={found['gl_chosen']} does not render here; unset it, or export MUJOCO_GL={working}")
    elif found["gpu"] and not found["gl"]["egl"]["ok"]:
        advice.append(
            "there is a GPU, but EGL does not render on it: install the driver's GL libraries "
            "(in containers: NVIDIA_DRIVER_CAPABILITIES=all) for faster pictures"
        )
    advice += differing(found["pictures"])
    missing = [name for name in PACKAGES if found["versions"][name] is None]
    if missing:
        advice.append(f"not installed: {', '.join(missing)}; run `make setup`")
    if found["gpu"] and not found["gpu"]["torch"]:
        advice.append("torch does not see the GPU: its CUDA version may be newer than the driver; update the driver")
    if found["ffmpeg"] is None:
        advice.append("no ffmpeg: videos cannot be written; run `make setup` (imageio-ffmpeg carries one)")
    if found["disk_free_gb"] < ROOM_TO_WORK / 1e9:
        advice.append(f"{found['disk_free_gb']} GB free here; a demo wants {ROOM_TO_WORK / 1e9:g}")
    if found["memory_gb"] < MEMORY_TO_WORK / 1e9:
        advice.append(
            f"{found['memory_gb']} GB of memory; a demo wants {MEMORY_TO_WORK / 1e9:g}: give it fewer workers and a smaller batch"
        )
    if found["objects"]["problem"]:
        advice.append(found["objects"]["problem"])
    return advice


def report(found: dict) -> str:
    """The findings for a person."""
    lines = ["Rendering"]
    for name, probe in found["gl"].items():
        chosen = "  <- used" if name == found["gl_chosen"] else ""
        source = f", from {found['osmesa']}" if name == "osmesa" and found["osmesa"] else ""
        lines.append(f"  {name:8} {'renders' if probe['ok'] else 'FAILS  '}  {probe['detail']}{source}, {probe['seconds']:.1f} s{chosen}")
    lines += _picture_lines(found["pictures"])
    if found["egl_devices"]:
        lines += ["Devices of EGL", *map(_device_line, found["egl_devices"])]
    gpu, folder = found["gpu"], found["objects"]["folder"]
    count = found["objects"]["count"]
    seen = "seen by torch" if gpu and gpu["torch"] else "NOT seen by torch"
    lines += [
        "Machine",
        f"  gpu      {gpu['name'] + ', ' + seen if gpu else 'none: everything runs on the CPU'}",
        f"  cpus     {found['cpus']}",
        f"  memory   {found['memory_gb']} GB, {found['memory_free_gb']} free",
        f"  disk     {found['disk_free_gb']} GB free here",
        f"  ffmpeg   {found['ffmpeg'] or 'MISSING'}",
        f"  objects  {f'{count} in {folder}' if folder else 'the six household objects; `cezanne objects` brings more'}",
        f"Versions, Python {found['python']}",
        *(
            f"  {name:14} {version or ('MISSING' if name in PACKAGES else 'not installed; ' + OPTIONAL[name])}"
            for name, version in found["versions"].items()
        ),
        "What to do" if found["advice"] else "Nothing is missing.",
        *(f"  - {line}" for line in found["advice"]),
    ]
    return "\n".join(lines)


def differing(pictures: dict | None) -> list[str]:
    """What to do about back ends whose pictures are too far from the others'."""
    if not pictures:
        return []
    return [
        f"{name} draws other pictures than {pictures['against']} (RGB {apart['rgb_mean']:.2f} of 255 apart in the mean, masks "
        f"{apart['mask_iou']:.3f} IoU; up to {backends.MEAN:g} and from {backends.IOU:g} is the same): do not compare their results, "
        f"and try a policy with the back end that drew its data, MUJOCO_GL=NAME"
        for name, apart in pictures["back_ends"].items()
        if apart["rgb_mean"] > backends.MEAN or apart["mask_iou"] < backends.IOU
    ]


def _pictures(working: list[str]) -> dict:
    """How far the pictures of the back ends are apart, by back end."""
    against, found = backends.compare(working)
    return {"against": against, "back_ends": {name: {k: round(v, 4) for k, v in asdict(apart).items()} for name, apart in found.items()}}


def _picture_lines(pictures: dict | None) -> list[str]:
    if not pictures or not pictures["back_ends"]:
        return []
    sizes = " and ".join(map(str, backends.SIZES))
    lines = [f"Pictures of one scene, both cameras, {sizes} px, against {pictures['against']}"]
    for name, apart in pictures["back_ends"].items():
        rgb = f"RGB {apart['rgb_mean']:.3f} apart in the mean, {apart['rgb_max']} at most (of 255)"
        lines.append(
            f"  {name:8} {rgb}, masks {apart['mask_iou']:.4f} IoU, {apart['ms']:.2f} ms a frame of {backends.SIZES[0]} px with mask"
        )
    return lines


def _egl_devices(deadline: float) -> list[dict]:
    """EGL's devices, and which of them a process draws on."""
    there = devices.ask(deadline)
    said, named = os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get(devices.NAMED)
    used = devices.visible(there, said) or ((index,) if (index := devices.chosen(there, said, 0)) is not None else ())
    if named is not None:
        used = (int(named),) if named.isdecimal() else ()
    elif not used:
        used = (0,)  # MuJoCo takes the first that works
    return [{**asdict(device), "used": device.index in used} for device in there]


def _device_line(device: dict) -> str:
    cuda = "" if device["cuda"] is None else f", CUDA {device['cuda']} {device['uuid']}".rstrip()
    file = f", {device['file']}" if device["file"] else ""
    used = "  <- drawn on under EGL" if device["used"] else ""
    return f"  {device['index']:<8} {device['name']}{cuda}{file}{used}"


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _osmesa() -> str | None:
    ask = "from sim import gl; print(gl.load_osmesa())"
    try:
        child = subprocess.run(
            [sys.executable, "-c", ask], env=gl.environment("osmesa"), capture_output=True, text=True, timeout=gl.DEADLINE
        )
    except subprocess.TimeoutExpired:
        return None
    return child.stdout.strip() if child.returncode == 0 else None


def _gpu() -> dict | None:
    """The first GPU and whether torch computes on it, asked in a child process: CUDA may hang too, and torch takes seconds to import."""
    ask = "import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() and torch.ones(1, device='cuda').item() else '')"
    try:
        name = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, timeout=60).stdout.strip()
    except subprocess.TimeoutExpired:
        name = ""
    if name:
        return {"name": name, "torch": True}
    if Path("/proc/driver/nvidia/version").exists():
        return {"name": "NVIDIA", "torch": False}
    return None


def _ffmpeg() -> str | None:
    try:
        import imageio_ffmpeg

        return imageio_ffmpeg.get_ffmpeg_version()
    except Exception:  # imageio-ffmpeg raises what it likes where its binary is missing or does not run
        return None


def _objects() -> dict:
    """Where more objects lie, and how many."""
    named = os.environ.get("CEZANNE_OBJECTS", "")
    try:
        from assets.objects import find_ycb, known_sets
    except ImportError as error:  # a package is missing, which is named above
        return {"folder": None, "count": 0, "problem": f"objects cannot be opened: {error}"}
    packs = find_ycb() or next(iter(known_sets().values()), None)
    if packs is not None:
        return {"folder": str(packs), "count": sum(1 for _ in packs.glob("*/object.xml")), "problem": None}
    if not named:
        return {"folder": None, "count": 0, "problem": None}
    problem = "holds no packs (NAME/object.xml)" if Path(named).expanduser().is_dir() else "there is no such folder"
    return {"folder": named, "count": 0, "problem": f"CEZANNE_OBJECTS={named}: {problem}"}
