"""`make bundle`: what is packed, the size rule, and the way in on a server."""

import ast
import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

from cezanne import ROOMS, VERBS
from episodes import picture
from tools.bundle import __main__ as bundle
from tools.bundle import archive, models, packages
from tools.bundle.errors import BundleError

ROOT = Path(__file__).resolve().parents[1]
VERSION = ".".join(map(str, sys.version_info[:2]))


@pytest.fixture
def made(tmp_path) -> Path:
    """A bundle in small: one module, one that is left out, a script."""
    site, folder = tmp_path / "site", tmp_path / "bundle"
    (site / "cezanne").mkdir(parents=True)
    (site / "cezanne/__init__.py").write_text("")
    (site / "cezanne/__main__.py").write_text("import sys, json\nprint(json.dumps([sys.argv[1:], __file__, sys.path]))\n")
    for name in ("absentee", "json"):
        (folder / "absent" / name).mkdir(parents=True)
        (folder / "absent" / name / f"{name}.py").write_text(bundle.STAND_IN.format(what="Absentee"))
    (folder / "benchmarks").mkdir()
    (folder / "benchmarks/say.sh").write_text('#!/bin/sh\necho "$PYTHON: $1"\n')
    (folder / "benchmarks/say.sh").chmod(0o755)
    archive.pack(site, folder / "packages.tar.xz", 1)
    shutil.copy(ROOT / "tools/bundle/run.sh", folder / "run.sh")
    (folder / "run.sh").chmod(0o755)
    archive.seal(folder)
    return folder


def _run(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder.parent / "home"), "PYTHON": sys.executable} | more
    return subprocess.run([str(folder / "run.sh"), *words], capture_output=True, text=True, env=environment, cwd=folder.parent, timeout=60)


def _python(path: Path, version: str, has: str) -> str:
    """A program that answers as a Python of some version would, with torch and numpy there ("yes") or not."""
    path.write_text(f"#!/bin/sh\nprintf '{version}\\n{has}\\n\\n'\n")
    path.chmod(0o755)
    return str(path)


def test_what_the_server_has_is_left_out_and_what_it_requires_too() -> None:
    pins = packages.pinned((ROOT / "constraints.txt").read_text())
    bare = packages.chosen(packages.CORE, packages.assumed(""), pins)
    assert {"mujoco", "scipy", "zarr", "hydra-core", "antlr4-python3-runtime", "glfw"} <= set(bare)
    assert not {"torch", "numpy", "sympy", "jinja2", "cezanne", "robosuite", "lerobot", "opencv-python"} & set(bare)
    assert bare["mujoco"] == pins["mujoco"]
    richer = packages.chosen(packages.CORE, packages.assumed("torch==2.11.0\nscipy==1.17.0\nHydra_Core==1.3.8\nfoo @ file:///x\n"), pins)
    assert set(bare) - set(richer) == {"scipy", "hydra-core"}  # omegaconf is wanted by ours too
    assert set(bare) < set(packages.chosen(packages.CORE + packages.MORE, packages.assumed(""), pins))


def test_a_list_without_torch_and_a_package_without_pin_are_refused() -> None:
    with pytest.raises(BundleError, match="no torch in that list"):
        packages.assumed("numpy==2.2.6\n")
    with pytest.raises(BundleError, match=r"not pinned.*: tqdm"):
        packages.chosen(["tqdm"], set(), {})


CORE_VERBS = ("doctor", "toys", "objects", "collect", "train", "eval", "sweep", "compare", "demo")


def _imported(module: str) -> set[str]:
    """Names that a module of ours imports when it is imported itself: not in functions, not for types alone."""
    path = ROOT / module.replace(".", "/")
    file = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
    if not file.is_file():
        return set()
    found, waiting = set(), list(ast.parse(file.read_text()).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {item.name for item in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{item.name}" for item in node.names)}
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            waiting += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
    return found


def test_every_import_of_the_core_verbs_is_packed_or_has_a_stand_in() -> None:
    """A new dependency of a core verb makes this fail: it belongs into CORE, or into ABSENT where the verb works without."""
    verbs = [verb for verb in VERBS if verb.name in CORE_VERBS]
    assert len(verbs) == len(CORE_VERBS)
    seen, foreign = set(), set()
    waiting = ["cezanne", *(word.split(":")[0] for verb in verbs for word in (verb.config, verb.run))]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        top = name.split(".")[0]
        if top in ROOMS:
            waiting += _imported(name) | {name.rpartition(".")[0] or name}
        elif top not in sys.stdlib_module_names:
            foreign.add(top)
    assert {"mujoco", "scipy", "pyarrow", "matplotlib"} <= foreign
    owners = importlib.metadata.packages_distributions()
    there = packages.requirements(packages.SERVER) | packages.requirements(packages.CORE, packages.UNUSED)
    loose = {top for top in foreign if not {packages.canonicalize_name(owner) for owner in owners[top]} & there}
    assert loose <= set(bundle.ABSENT) | {"robosuite", "ray"}, loose  # the bridge and Ray's executor are opened when asked for


def test_cuts_spare_code_and_licences(tmp_path) -> None:
    info = tmp_path / "thing-1.0.dist-info"
    files = {
        "thing/__init__.py": "x",
        "thing/tests/big.py": "y" * 100,
        "thing/tests/LICENSE": "z",
        "thing/ffmpeg-7": "b",
        "gone/script": "",
    }
    for name in files:
        if name != "gone/script":
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(files[name])
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: Thing\nVersion: 1.0\n")
    (info / "RECORD").write_text("".join(f"{name},sha256=x,1\n" for name in files))
    about = packages.trim(tmp_path, {"thing": ("thing/ffmpeg-*",)})["thing"]
    assert sorted(path.name for path in (tmp_path / "thing").rglob("*") if path.is_file()) == ["LICENSE", "__init__.py"]
    assert (info / "RECORD").read_text().split() == ["thing/__init__.py,sha256=x,1", "thing/tests/LICENSE,sha256=x,1"]
    assert about["cut_bytes"] == 101
    assert about["bytes"] == 2
    assert about["licences"] == ["thing/tests/LICENSE"]


def test_without_ffmpeg_or_opencv_there_are_no_films_and_a_reason(monkeypatch) -> None:
    assert picture.lacking() == ""

    def no_ffmpeg() -> str:
        raise RuntimeError("No ffmpeg exe could be found.")

    monkeypatch.setattr(picture, "get_ffmpeg_exe", no_ffmpeg)
    assert picture.lacking() == "No ffmpeg exe could be found."
    stand_in = ModuleType("cv2")
    exec(bundle.STAND_IN.format(what="OpenCV"), stand_in.__dict__)
    monkeypatch.setattr(picture, "cv2", stand_in)
    assert "OpenCV, which is not in the bundle" in picture.lacking()


@pytest.mark.parametrize("robot", models.ROBOTS)
def test_a_robots_files_are_few_and_complete(robot) -> None:
    assets = Path(str(importlib.metadata.distribution("robosuite").locate_file("robosuite/models/assets")))
    files = models.model_files(assets, models.ROBOTS[robot])
    assert all((assets / file).is_file() for file in files)
    assert len(files) > len(models.ROBOTS[robot])
    assert not any("sawyer" in file.as_posix() for file in files)


def test_a_model_brings_the_files_it_names(tmp_path) -> None:
    (tmp_path / "g/m").mkdir(parents=True)
    for name in ("g/m/here.stl", "g/m/unnamed.stl", "skin.png"):
        (tmp_path / name).write_text("")
    meshes = '<mesh file="here.stl"/><mesh file="lost.stl"/><texture file="../skin.png"/>'
    (tmp_path / "g/a.xml").write_text(f'<mujoco><compiler meshdir="m"/><asset>{meshes}</asset></mujoco>')
    assert models.model_files(tmp_path, ["g/a.xml"]) == {Path("g/a.xml"), Path("g/m/here.stl"), Path("skin.png")}
    with pytest.raises(BundleError, match=r"b\.xml"):
        models.model_files(tmp_path, ["b.xml"])


def test_too_large_names_the_largest_and_what_would_do() -> None:
    said = bundle.too_large(71_234_567, {"a": {"bytes": 1}, "scipy": {"bytes": 9}}, ["panda", "ur5e"])
    assert "71.2 MB where 60 MB was the aim" in said
    assert said.index("scipy") < said.index("HAS=FILE")
    assert "\n" not in said


def test_the_archive_depends_on_the_files_alone(tmp_path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "p").mkdir(parents=True)
        (tmp_path / name / "p/run.py").write_text("x")
        (tmp_path / name / "p/run.py").chmod(0o755)
        os.utime(tmp_path / name / "p/run.py", (1, 1) if name == "one" else None)
        archive.pack(tmp_path / name, tmp_path / f"{name}.xz", 1)
    assert (tmp_path / "one.xz").read_bytes() == (tmp_path / "two.xz").read_bytes()
    with tarfile.open(tmp_path / "one.xz") as tar:
        assert tar.getmember("p/run.py").mode == 0o755


def test_a_folder_that_is_no_bundle_is_not_replaced(tmp_path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(BundleError, match="is no bundle"):
        bundle.make(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_the_first_run_unpacks_and_the_next_does_not(made) -> None:
    first = _run(made, "cezanne", "eval", "a b=c")
    assert first.returncode == 0, first.stderr
    assert "first run" in first.stderr
    words, file, path = json.loads(first.stdout)
    assert words == ["eval", "a b=c"]
    assert file.startswith(str(made / ".env/site"))
    assert str(made / "absent/absentee") in path
    assert str(made / "absent/json") not in path  # the server has that one
    again = _run(made, "cezanne")
    assert again.stderr == ""
    moved = made.rename(made.with_name("a place"))
    assert json.loads(_run(moved, "cezanne").stdout)[1].startswith(str(moved))
    script = _run(moved, "benchmarks/say.sh", "hello")
    assert script.stdout == f"{sys.executable}: hello\n"


def test_what_is_left_out_says_so_when_it_is_used(made) -> None:
    assert _run(made, "python", "-c", "import absentee").returncode == 0
    used = _run(made, "python", "-c", "import absentee; absentee.resize")
    assert used.stderr.splitlines()[-1].startswith("ImportError: this needs Absentee, which is not in the bundle")


def test_a_changed_file_is_found_before_anything_is_unpacked(made) -> None:
    with (made / "packages.tar.xz").open("ab") as file:
        file.write(b"x")
    refused = _run(made, "cezanne")
    assert refused.returncode == 2
    assert "packages.tar.xz: FAILED" in refused.stderr
    assert "copy it again" in refused.stderr
    assert not (made / ".env").exists()


def test_a_newer_bundle_in_its_place_is_unpacked_anew(made) -> None:
    assert _run(made, "cezanne").returncode == 0
    (made / "absent/absentee/absentee.py").write_text("")
    archive.seal(made)
    assert "first run" in _run(made, "cezanne").stderr
    key = hashlib.sha256((made / "SHA256SUMS").read_bytes()).hexdigest()[:16]
    assert (made / ".env/key").read_text().strip() == key
    assert sorted(path.name for path in made.glob(".env*")) == [".env"]


def test_a_folder_that_cannot_be_written_unpacks_into_the_cache(made, tmp_path) -> None:
    shown = made / "run.sh"
    shown.write_text(shown.read_text().replace('[ -w "$here" ]', "false"))  # root may write anywhere
    archive.seal(made)
    done = _run(made, "cezanne", XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert json.loads(done.stdout)[1].startswith(str(tmp_path / "cache/cezanne/bundle-"))
    assert not (made / ".env").exists()


@pytest.mark.parametrize(
    ("version", "has", "said"),
    [("3.11", "yes yes", "is Python 3.11"), (VERSION, "no yes", "has no torch"), (VERSION, "yes no", "has no numpy")],
)
def test_another_python_and_a_missing_torch_are_refused_in_one_line(made, tmp_path, version, has, said) -> None:
    refused = _run(made, "cezanne", PYTHON=_python(tmp_path / "python", version, has))
    assert refused.returncode == 2
    assert said in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert not (made / ".env").exists()


@pytest.mark.slow
def test_the_whole_bundle_works_without_a_network(tmp_path) -> None:
    """Made from the wheels, then used by a Python that has torch and numpy alone. Needs the package index or a full cache."""
    uv, folder, bare = str(ROOT / ".venv/bin/uv"), tmp_path / "bundle", tmp_path / "bare"
    made = subprocess.run([sys.executable, "-m", "tools.bundle", "--out", folder], cwd=ROOT, capture_output=True, text=True)
    if "failed" in made.stderr:
        pytest.skip(f"no packages to be had: {made.stderr[-300:]}")
    assert made.returncode == 0, made.stderr
    assert archive.weigh(folder) < bundle.LIMIT
    server = {*packages.requirements(packages.SERVER), "lavavu-osmesa"} | {  # a server has something to draw with
        name for name in packages.pinned((ROOT / "constraints.txt").read_text()) if name.startswith("nvidia-")
    }
    have = {dist.name.lower().replace("_", "-"): dist.version for dist in importlib.metadata.distributions()}
    wanted = [f"{name}=={have[name]}" for name in sorted(server) if name in have]
    subprocess.run([uv, "venv", "--quiet", "--no-project", "--python", sys.executable, bare], check=True)
    subprocess.run([uv, "pip", "install", "--quiet", "--no-deps", "--python", bare / "bin/python", *wanted], check=True)
    offline = shutil.which("unshare") and not subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "PYTHON": str(bare / "bin/python"),
        "MUJOCO_GL": os.environ.get("MUJOCO_GL", ""),
    }

    def run(*words: str) -> str:
        command = [*(["unshare", "-rn"] if offline else []), str(folder / "run.sh"), *words]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=900)
        assert done.returncode == 0, f"{words}: {done.stderr[-2000:]}"
        return done.stdout

    run("python", "-m", "benchmarks.encoder", "--help")
    assert json.loads(run("cezanne", "toys", "toys=3", "pictures=0", "out=toys").splitlines()[-1])["toys"] == 3
    found = json.loads(run("cezanne", "doctor", "--json").splitlines()[-1])
    assert found["versions"]["mujoco"] == have["mujoco"]
    if not found["ok"]:
        pytest.skip("nothing renders here without the wheel lavavu-osmesa; the rest of the bundle works")
    run("cezanne", "collect", "toys=2", "demos=2", "out=data", "workers=1")
    run("cezanne", "train", "data=data", "out=policy", "steps=5")
    run("cezanne", "eval", "checkpoint=policy", "suite=household", "limit=2", "trials=1", "out=eval", "workers=1")
