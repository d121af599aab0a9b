"""Back ends are tried in children, the verdict is kept, and OSMesa comes from the wheel where the system has none."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sim import gl

ROOT = Path(__file__).resolve().parents[1]
FROM_THE_WHEEL = """
import os
from sim import gl
gl.SYSTEM_OSMESA = ()
os.environ["MUJOCO_GL"] = "osmesa"
print(gl.load_osmesa())
gl.show()
"""


def child(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in gl.environment("egl").items() if k != "MUJOCO_GL"}
    return subprocess.run([sys.executable, "-c", code], env=inherited | environment, capture_output=True, text=True, timeout=120)


def test_some_back_end_renders_here() -> None:
    assert gl.setup() is not None
    gl.require()


def test_the_osmesa_of_the_wheel_renders_without_a_system_library() -> None:
    done = child(FROM_THE_WHEEL, MUJOCO_GL="egl")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("lavavu-osmesa")
    assert "llvmpipe" in done.stdout


def test_a_back_end_that_does_not_answer_hangs() -> None:
    tried = gl.probe("osmesa", deadline=0.05)
    assert not tried.ok
    assert "hangs" in tried.detail


def test_a_back_end_that_does_not_exist_fails_with_a_reason() -> None:
    tried = gl.probe("vulkan")
    assert not tried.ok
    assert "vulkan" in tried.detail


def test_the_verdict_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tries: list[str] = []

    def egl_hangs(backend: str, **_: object) -> gl.Probe:
        tries.append(backend)
        return gl.Probe(backend, backend == "osmesa", "", 0.0)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(gl, "probe", egl_hangs)
    monkeypatch.setattr(gl, "has_gpu", lambda: True)
    assert gl._choose() == gl._choose() == "osmesa"
    assert tries == ["egl", "osmesa"]
    (file,) = (tmp_path / "cezanne").iterdir()
    assert json.loads(file.read_text())["backend"] == "osmesa"
    file.write_text("half a li")
    assert gl._choose() == "osmesa"
    assert len(tries) == 4


def test_nothing_renders_is_said_only_when_rendering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gl, "setup", lambda: None)
    monkeypatch.setattr(gl, "_chosen", lambda: None)
    with pytest.raises(gl.GLError, match="cezanne doctor"):
        gl.require()


def test_a_library_that_is_gone_stops_only_what_renders() -> None:
    gone = "import os, sys\nfrom sim import gl\ngl.SYSTEM_OSMESA = ()\nsys.modules['lavavu'] = None\nos.environ['MUJOCO_GL'] = 'osmesa'\n"
    done = child(gone + "assert gl.setup() is None\ngl.require()", MUJOCO_GL="egl")
    assert "GLError: no libOSMesa: install the wheel lavavu-osmesa" in done.stderr


def test_a_late_import_of_sim_renders_all_the_same() -> None:
    draw = "from assets.toys import ToySet\nfrom sim.scene import SceneConfig\nfrom sim.simrobot import SimRobot\n"
    draw += "with SimRobot(SceneConfig(ToySet.sample(0, 1).toys[0], size=32)) as robot: print(robot.picture('side').std() > 5)"
    done = child("import mujoco\n" + draw, MUJOCO_GL="")
    assert done.stdout.strip() == "True", done.stderr
    assert not done.stderr


SCRIPT = """
from assets.toys import ToySet  # imports mujoco
from sim.scene import SceneConfig
from sim.simrobot import SimRobot
from sim.workers import share

def start():
    return draw

def draw(toy):
    with SimRobot(SceneConfig(toy, size=32)) as robot:
        return float(robot.picture("side").std())

if __name__ == "__main__":
    print([done.value > 5 for done in share(start, ToySet.sample(0, 2).toys, 1)])
"""


def test_workers_of_a_script_that_imports_mujoco_first_render(tmp_path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py"],
        env={**os.environ, "MUJOCO_GL": "", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == "[True, True]", done.stderr


def test_the_choice_of_the_user_is_respected() -> None:
    done = child("import sim, os; print(os.environ['MUJOCO_GL'])", MUJOCO_GL="glfw")
    assert done.stdout.strip() == "glfw"


def test_workers_inherit_the_choice() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_backend) == os.environ["MUJOCO_GL"]


def _backend() -> str | None:
    return gl.setup()
