"""The models of robots and household objects that are packed of robosuite's library, light."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from tools.bundle.errors import BundleError

ROBOTS: Mapping[str, tuple[str, ...]] = {
    "panda": ("robots/panda/robot.xml", "grippers/panda_gripper.xml"),
    "panda_robotiq": ("robots/panda/robot.xml", "grippers/robotiq_gripper_85.xml"),
    "panda_inspire": ("robots/panda/robot.xml", "grippers/inspire_right_hand.xml"),
    "ur5e": ("robots/ur5e/robot.xml", "grippers/robotiq_gripper_85.xml"),
    "kinova3": ("robots/kinova3/robot.xml", "grippers/robotiq_gripper_85.xml"),
}
"""Files of robosuite's library that a robot is made of."""
HOUSEHOLD = tuple(f"objects/{name}.xml" for name in ("bottle", "bread", "can", "cereal", "lemon", "milk"))
_ROBOSUITE = '''"""Only the models of some robots and objects of robosuite's; its code is not in the bundle."""

raise ImportError("robosuite is not in the bundle, only models of it: suite=robosuite needs robosuite==1.5.1 on the server")
'''


def model_files(assets: Path, models: Iterable[str]) -> set[Path]:
    """Models of robosuite's library and every file that they name, relative to it; what robosuite lacks itself is passed over, for what is
    packed is tried afterwards. Raises BundleError where a model is missing."""
    found = set()
    for name in models:
        if not (assets / name).is_file():
            raise BundleError(f"robosuite has no model {name}")
        root, home = ElementTree.parse(assets / name).getroot(), (assets / name).parent
        compiler = root.find("compiler")
        folders = {} if compiler is None else {"mesh": compiler.get("meshdir", ""), "texture": compiler.get("texturedir", "")}
        found.add(Path(name))
        for item in root.iter():
            if file := item.get("file"):
                path = Path(os.path.normpath(home / folders.get(item.tag, "") / file))
                if path.is_file():
                    found.add(path.relative_to(assets))
    return found


def pack_models(site: Path, robots: Sequence[str]) -> None:
    """Puts the models of robots and household objects where robosuite would have them, under its licence and version."""
    if unknown := [name for name in robots if name not in ROBOTS]:
        raise BundleError(f"--robots: {', '.join(unknown)} cannot be packed; known: {', '.join(ROBOTS)}")
    theirs = importlib.metadata.distribution("robosuite")
    source, home = Path(str(theirs.locate_file("robosuite"))), site / "robosuite"
    for file in model_files(source / "models/assets", [*(file for name in robots for file in ROBOTS[name]), *HOUSEHOLD]):
        copy(source / "models/assets" / file, home / "models/assets" / file)
    (home / "__init__.py").write_text(_ROBOSUITE)
    info = f"robosuite-{theirs.version}.dist-info"
    for name in ("METADATA", "LICENSE", "AUTHORS"):
        copy(Path(str(theirs.locate_file(f"{info}/{name}"))), site / info / name)


def lighten(site: Path, robots: Sequence[str], work: Path) -> None:
    """Puts light meshes in the place of those that robots are only drawn with. Raises BundleError."""
    models = site.resolve() / "robosuite/models/assets"
    needed = {Path(line) for line in _try(site, robots, work / "cache").splitlines()}
    shutil.copytree(work / "cache/robots", models / "light")
    meshes = {path for path in models.rglob("*") if path.suffix in (".obj", ".stl") and path.relative_to(models).parts[0] != "objects"}
    for path in meshes - needed:
        path.with_name(f"{path.name}.sha256").write_text(hashlib.sha256(path.read_bytes()).hexdigest())
        path.unlink()
    _try(site, robots, work / "empty")
    if made := list((work / "empty").glob("robots/*")):
        raise BundleError(f"{len(made)} light meshes were made anew from what was packed")


_TRIAL = """
import sys
from assets.objects import open_objects
from sim.robots import find_robot
for name in sys.argv[1:]:
    spec = find_robot(name).spec()
    spec.compile()
    print(*(mesh.file for mesh in spec.meshes if mesh.file), sep="\\n")
for item in open_objects("household"):
    item.spec().compile()
"""


def _try(site: Path, robots: Sequence[str], cache: Path) -> str:
    """Makes each robot and object from the packed files alone; the mesh files that were read, a line each. Raises BundleError."""
    environment = {"PYTHONPATH": str(site), "CEZANNE_CACHE": str(cache), "PATH": os.environ["PATH"], "HOME": str(cache)}
    command = [sys.executable, "-P", "-c", _TRIAL, *robots]
    done = subprocess.run(command, cwd=site.parent, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise BundleError(f"a robot cannot be made from what was packed: {done.stderr.strip().splitlines()[-1]}")
    for made in site.rglob("__pycache__"):
        shutil.rmtree(made)
    return done.stdout


def copy(source: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, to)
