"""Chooses how MuJoCo renders.

`setup()` runs when `sim` is imported and before every verb; that mujoco was imported before does no harm. It respects `MUJOCO_GL`; else it
tries the back ends in child processes (a broken EGL hangs rather than fails), keeps the verdict in the user's cache, and sets `MUJOCO_GL`
for this process and its children.
Where no system library carries OSMesa, the one in the wheel `lavavu-osmesa` is loaded.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sim import devices

BACKENDS = ("osmesa", "egl")
"""Tried in this order, EGL first where a GPU is. In software the two are equally fast (190 to 260 observations of two 128 px cameras with
masks a second of one core); OSMesa comes first because it cannot hang and is the same on every machine that takes the wheel's."""
DEADLINE = 30.0
"""How long a back end may take to show its first picture [s]; a second is usual, a cold disk takes ten."""
WORKER = "CEZANNE_WORKER"
"""Variable of the environment: the number of a process among those that its parent started."""
_TOLD = "CEZANNE_GL"
SYSTEM_OSMESA = ("libOSMesa.so", "libOSMesa.so.8", "libOSMesa.so.6")


class GLError(Exception):
    """No back end renders here, or the one asked for does not."""


@dataclass(frozen=True)
class Probe:
    """What came of trying a back end in a child process."""

    backend: str
    ok: bool
    detail: str
    """The renderer's name, or what went wrong."""
    seconds: float
    """From the start of the child process to its end [s]."""


def setup() -> str | None:
    """Makes MuJoCo render in this process, if anything can; the back end's name, None where nothing renders. Cheap when called again."""
    os.environ.setdefault("LP_NUM_THREADS", "0")  # llvmpipe: its threads get in the way of other processes, and no fork has them
    backend = os.environ.get("MUJOCO_GL", "").lower()
    if not backend:
        backend = os.environ.get(_TOLD) or _chosen() or ""
        if backend:
            os.environ["MUJOCO_GL"] = backend
    if backend == "osmesa":
        try:
            load_osmesa()
        except GLError:  # what does not render works on; `require` says why
            return None
    return backend or None


def require() -> None:
    """Raises GLError, with what to do, where nothing can be rendered."""
    if setup() is None:
        if os.environ.get("MUJOCO_GL", "").lower() == "osmesa":
            load_osmesa()
        raise GLError("nothing renders here: neither EGL nor OSMesa shows a picture; `cezanne doctor` says why and what to do")


@contextmanager
def children(backend: str, number: int = 0) -> Iterator[None]:
    """While it lasts, new processes render with a back end; `number` tells them apart where they share several GPUs.

    Where OSMesa is the wheel's, mujoco cannot be imported under MUJOCO_GL=osmesa before sim has loaded it; a spawned process imports its
    main module first, in whatever order that is written. So it is told by a name that only `setup` reads.
    """
    source = "system"
    if backend == "osmesa":
        with suppress(GLError):
            source = load_osmesa()
    changed = {
        "MUJOCO_GL": backend if source == "system" else "",
        _TOLD: backend,
        WORKER: str(number),
        "PYOPENGL_PLATFORM": "",
    }
    before = {name: os.environ.get(name) for name in changed}
    _change(changed)
    try:
        yield
    finally:
        _change(before)


def _change(values: Mapping[str, str | None]) -> None:
    """Sets variables of the environment; those without a value are removed."""
    for name, value in values.items():
        if value:
            os.environ[name] = value
        else:
            os.environ.pop(name, None)


@cache
def other(backend: str) -> str:
    """A back end that renders here too, tried in a child process; the same where there is none."""
    return next((name for name in BACKENDS if name != backend and probe(name).ok), backend)


def new_context() -> Any:
    """A GL context of the chosen back end. Its own framebuffer is tiny: MuJoCo draws into one that belongs to the model. Raises GLError.

    `mujoco.GLContext` is chosen when mujoco is imported, which may have been before `setup()`.
    """
    require()
    backend = os.environ["MUJOCO_GL"].lower()
    settle_device()
    try:
        return importlib.import_module(f"mujoco.{backend}").GLContext(16, 16)
    except (ImportError, AttributeError, RuntimeError) as error:
        raise GLError(f"MUJOCO_GL={backend} gives no GL context ({error}); unset it, and `cezanne doctor` says what renders") from error


def settle_device() -> None:
    """Under EGL: this process draws on a GPU that CUDA may use, its own where its parent's children share several."""
    if os.environ.get("MUJOCO_GL", "").lower() == "egl":
        number = os.environ.get(WORKER, "")
        devices.settle(int(number) if number.isdecimal() else 0)


def probe(backend: str, *, deadline: float = DEADLINE) -> Probe:
    """Renders one picture with a back end in a child process."""
    start = time.monotonic()
    try:
        child = subprocess.run(
            [sys.executable, "-c", "from sim.gl import show; show()"],
            env=environment(backend),
            capture_output=True,
            text=True,
            timeout=deadline,
        )
    except subprocess.TimeoutExpired:
        return Probe(backend, False, f"hangs: no picture within {deadline:g} s", time.monotonic() - start)
    seconds = time.monotonic() - start
    if child.returncode == 0:
        return Probe(backend, True, child.stdout.strip().splitlines()[-1], seconds)
    if child.returncode < 0:
        return Probe(backend, False, f"crashes with signal {-child.returncode}", seconds)
    lines = [line for line in child.stderr.strip().splitlines() if re.match(r"\S*(Error|Exception)\b", line)]
    said = (lines or child.stderr.strip().splitlines() or [f"exit code {child.returncode}"])[-1]
    return Probe(backend, False, said.removeprefix("sim.gl.GLError: "), seconds)


def environment(backend: str) -> dict[str, str]:
    """The environment of a child process that renders with a back end and imports from this source."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYOPENGL_PLATFORM"}
    path = os.pathsep.join(filter(None, [str(Path(__file__).resolve().parents[1]), inherited.get("PYTHONPATH")]))
    return inherited | {"MUJOCO_GL": backend, "PYTHONPATH": path}


def show() -> None:
    """Renders a white ball and prints who rendered it; what `probe` runs. Raises GLError where the picture is black."""
    require()
    if os.environ["MUJOCO_GL"] == "egl":
        try:
            ctypes.CDLL("libEGL.so.1")
        except OSError as error:
            raise GLError(f"no EGL library: {error}") from error
        settle_device()
    import mujoco

    scene = "<mujoco><worldbody><light pos='0 0 3'/><geom type='sphere' size='.3'/><camera pos='0 0 1'/></worldbody></mujoco>"
    model = mujoco.MjModel.from_xml_string(scene)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    with mujoco.Renderer(model, 64, 64) as renderer:
        renderer.update_scene(data, camera=0)
        picture = renderer.render()
        from OpenGL import GL

        name = GL.glGetString(GL.GL_RENDERER)
        if picture.max() < 50 or picture.std() < 5:
            raise GLError("the picture is black")
    print(name.decode() if isinstance(name, bytes) else "unnamed")


@cache
def load_osmesa() -> str:
    """Loads OSMesa into this process under the name that PyOpenGL asks for; where it came from.

    Raises GLError where neither the system nor the wheel has it.
    """
    for name in SYSTEM_OSMESA:
        with suppress(OSError):
            ctypes.CDLL(name, ctypes.RTLD_GLOBAL)
            return "system"
    package = importlib.util.find_spec("lavavu")
    folder = Path(package.origin).parents[1] / "lavavu_osmesa.libs" if package and package.origin else Path("lavavu_osmesa.libs")
    found = sorted(folder.glob("libOSMesa-*.so*"))
    if not found:
        raise GLError("no libOSMesa: install the wheel lavavu-osmesa (pip install lavavu-osmesa), or the system's libosmesa6")
    # The loader finds a library's needs by name among those that are loaded already, so they are loaded first, each after its own.
    waiting = [path for path in sorted(folder.iterdir()) if path not in found]
    for _ in range(len(waiting)):
        waiting = [path for path in waiting if not _loads(path)]
    # The wheel's OSMesa calls itself libOSMesa-<hash>.so.8.0.0; dlopen finds a copy in memory that calls itself libOSMesa.so.8.
    image = found[0].read_bytes()
    own = found[0].name.encode() + b"\0"
    image = image.replace(own, b"libOSMesa.so.8".ljust(len(own), b"\0"))
    handle = os.memfd_create("libOSMesa.so.8")
    with os.fdopen(handle, "wb") as file:
        file.write(image)
        file.flush()
        try:
            ctypes.CDLL(f"/proc/self/fd/{handle}", ctypes.RTLD_GLOBAL)
            ctypes.CDLL("libOSMesa.so.8", ctypes.RTLD_GLOBAL)
        except OSError as error:
            raise GLError(f"the OSMesa of lavavu-osmesa does not load: {error}") from error
    return f"lavavu-osmesa {importlib.metadata.version('lavavu-osmesa')}"


def _loads(path: Path) -> bool:
    try:
        ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)
    except OSError:
        return False
    return True


def has_gpu() -> bool:
    """Whether the kernel shows a graphics device: NVIDIA's, or one with a render node."""
    return Path("/dev/nvidiactl").exists() or any(Path("/dev/dri").glob("renderD*"))


def _choose() -> str | None:
    """The back end that renders here: as the cache knows, else the first that shows a picture."""
    path = _cache_file()
    with suppress(OSError, ValueError, KeyError, TypeError, GLError):
        backend = json.loads(path.read_text())["backend"]
        if backend == "osmesa":
            load_osmesa()  # it may be gone since
        if backend in BACKENDS:
            return backend
    for backend in reversed(BACKENDS) if has_gpu() else BACKENDS:
        tried = probe(backend)
        if tried.ok:
            with suppress(OSError):  # a read-only home only costs the next process a second
                path.parent.mkdir(parents=True, exist_ok=True)
                with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
                    json.dump(asdict(tried), file)
                os.replace(file.name, path)
            return backend
    return None


_chosen = cache(_choose)
"""Once a process: where nothing renders, every try takes seconds."""


def _cache_file() -> Path:
    """One file per machine, mujoco and environment: another of these must be tried anew."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    prefix = Path(sys.prefix).as_posix().replace("/", "-").strip("-")
    return (
        home
        / "cezanne"
        / f"gl-{platform.node()}-{'gpu' if has_gpu() else 'cpu'}-mujoco{importlib.metadata.version('mujoco')}-{prefix}.json"
    )
