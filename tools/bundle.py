"""`make bundle`: a folder with which a server that has Python 3.12 and torch, and no network, runs `cezanne`.

    bundle/run.sh             the way in: checks the server, unpacks once, runs (tools/bundle_run.sh)
    bundle/packages.tar.xz    our wheel and what it needs beside torch, installed for Linux on x86-64, and the robots' models
    bundle/benchmarks/        what the wheel leaves out
    bundle/absent/            what a program gets that imports a package left out: a line that says so
    bundle/bundle.json        versions, licences and sizes of the parts, and what was left out of them
    bundle/SHA256SUMS         of all these

Packages are not repacked as wheels: one solid archive is half as large. Their metadata and licences stay.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import importlib.metadata
import io
import json
import lzma
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from xml.etree import ElementTree

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 60_000_000
"""Size that the folder must stay under [bytes]."""
SERVER = ("torch", "numpy")
"""What a server is assumed to have, with all that these require."""
CORE = (
    *("accelerate", "fast-simplification", "gymnasium", "hydra-core", "imageio-ffmpeg", "jinja2", "manifold3d", "matplotlib"),
    *("mujoco", "numcodecs", "omegaconf", "pillow", "psutil", "pyarrow", "pyopengl", "pyyaml", "rich", "ruckig", "safetensors", "scipy"),
    *("tensorboard", "tqdm", "trimesh", "zarr"),
)
"""What doctor, toys, objects, collect, train, eval, sweep, compare, study and demo import."""
MORE = ("coacd", "opencv-python-headless", "lavavu-osmesa", "timm")
"""What `--full` adds: augment, perturbations of masks and pictures, rendering without EGL, films, pretrained backbones."""
UNUSED = (
    *("aiohttp", "grpcio", "hf-xet", "jupyter-server-proxy", "markdown", "markdown-it-py", "numpy-quaternion", "pygments"),
    *("tensorboard-data-server", "torchvision", "werkzeug"),
)
"""Requirements of requirements that nothing of ours imports: downloads, notebooks, coloured code, TensorBoard's pages (it only writes);
and torchvision, which timm wants: it has to be of the server's own build of torch."""
PLATFORM = "x86_64-manylinux_2_28"
FONTS = (
    *("cffLib", "colorLib", "cu2qu", "designspaceLib", "feaLib", "merge", "mtiLib", "otlLib", "pens", "qu2cu", "subset"),
    *("svgLib", "t1Lib", "ttLib", "ufoLib", "unicodedata", "varLib", "voltLib"),
)
"""Parts of fonttools that write fonts into PDF; our pictures are PNG and SVG."""
CUTS: Mapping[str, tuple[str, ...]] = {
    "*": ("*/tests/*", "*/testing/data/*", "*/__pycache__/*", "*.pyi", "*.pxd", "*.pyx", "*.pxi", "*.a", "*.dll", "*.js"),
    "fonttools": ("fontTools/*.so", "fontTools/*.c", *(f"fontTools/{part}/*" for part in FONTS)),
    "lavavu-osmesa": ("lavavu/*.js", "lavavu/html/*", "lavavu/font/*"),
    "pyarrow": (
        *("pyarrow/include/*", "pyarrow/includes/*", "pyarrow/src/*", "pyarrow/libarrow_python.so", "pyarrow/libarrow_python.so.*.*"),
        *("pyarrow/*_flight*", "pyarrow/*s3*", "pyarrow/_gcsfs*", "pyarrow/_azurefs*", "pyarrow/_hdfs*", "pyarrow/_orc*"),
        *("pyarrow/*_parquet_encryption*", "pyarrow/_pyarrow_cpp_tests*"),
    ),
    "matplotlib": (
        *("matplotlib/mpl-data/sample_data/*", "matplotlib/mpl-data/images/*", "matplotlib/mpl-data/fonts/afm/*"),
        *("matplotlib/mpl-data/fonts/pdfcorefonts/*", "matplotlib/mpl-data/fonts/ttf/DejaVuSerif*"),
        "matplotlib/mpl-data/fonts/ttf/DejaVuSansMono*",
    ),
    "mujoco": ("mujoco/_simulate*",),  # its window
    "pillow": ("PIL/_avif*", "pillow.libs/libavif*"),
    "scipy": tuple(f"scipy/{part}/*" for part in ("cluster", "datasets", "io", "odr", "signal")),
    "tensorboard": ("tensorboard/webfiles.zip",),
}
"""What is cut out of packages, by name ("*": of all): tests, headers, and parts that no verb uses. Licences are never cut."""
STRIPPED = ("kiwisolver", "matplotlib", "msgspec", "pyarrow", "pyyaml")
"""Packages whose libraries lose the names that only debuggers read; none whose libraries were moved together: that can break them."""
FFMPEG = ("imageio_ffmpeg/binaries/ffmpeg-*",)
"""Cut too where the bundle is not full: films then need the server's own ffmpeg, which imageio-ffmpeg finds."""
ROBOTS: Mapping[str, tuple[str, ...]] = {
    "panda": ("robots/panda/robot.xml", "grippers/panda_gripper.xml"),
    "panda_robotiq": ("robots/panda/robot.xml", "grippers/robotiq_gripper_85.xml"),
    "panda_inspire": ("robots/panda/robot.xml", "grippers/inspire_right_hand.xml"),
    "ur5e": ("robots/ur5e/robot.xml", "grippers/robotiq_gripper_85.xml"),
    "kinova3": ("robots/kinova3/robot.xml", "grippers/robotiq_gripper_85.xml"),
}
"""Files of robosuite's library that a robot is made of."""
HOUSEHOLD = tuple(f"objects/{name}.xml" for name in ("bottle", "bread", "can", "cereal", "lemon", "milk"))
ABSENT = {
    "cv2": "OpenCV (opencv-python-headless)",
    "coacd": "coacd",
    "timm": "timm",
}
"""Modules that a core bundle leaves out and that rooms import at their top or when asked: by name, what to install."""
_STAND_IN = '''"""Stands in for a package that this bundle leaves out; what is imported but not used does not matter."""


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    raise ImportError("this needs {what}, which is not in the bundle: `make bundle FULL=1` packs it, or install it on the server")
'''
_ROBOSUITE = '''"""Only the models of some robots and objects of robosuite's; its code is not in the bundle."""

raise ImportError("robosuite is not in the bundle, only models of it: suite=robosuite needs robosuite==1.5.1 on the server")
'''


class BundleError(Exception):
    """The bundle cannot be made, or is too large."""


def main(argv: Sequence[str] | None = None) -> int:
    """Makes the bundle; the exit code. The last line of stdout is a summary as JSON."""
    parser = argparse.ArgumentParser(prog="make bundle", description="packs what a server with Python 3.12 and torch needs")
    parser.add_argument("--out", type=Path, default=ROOT / "bundle")
    parser.add_argument("--full", action="store_true", help="OpenCV, ffmpeg, timm, a renderer without EGL too; no limit")
    parser.add_argument("--has", type=Path, help="what the server has, as `python3 -m pip list --format=freeze` says there: left out")
    parser.add_argument("--robots", default="panda", help=f"with commas, of: {', '.join(ROBOTS)}")
    parser.add_argument("--preset", type=int, default=6, choices=range(10), help="of xz: 1 is fast, 6 small; above, nothing is gained")
    given = parser.parse_args(argv)
    try:
        summary = make(given.out, full=given.full, has=given.has, robots=given.robots.split(","), preset=given.preset)
    except BundleError as error:
        print(f"make bundle: {error}", file=sys.stderr)
        return 2
    print(json.dumps(summary))
    return 0


def make(out: Path, *, full: bool = False, has: Path | None = None, robots: Sequence[str] = ("panda",), preset: int = 6) -> dict:
    """Makes the bundle in a folder, in place of an older one; returns the summary. Raises BundleError."""
    if out.exists() and not (out / "bundle.json").is_file():
        raise BundleError(f"{out} is there and is no bundle; --out=FOLDER names another")
    there = assumed(has.read_text() if has else "")
    pins = chosen(CORE + MORE if full else CORE, there, pinned((ROOT / "constraints.txt").read_text()))
    with tempfile.TemporaryDirectory(prefix=".bundle-", dir=out.resolve().parent) as work:
        site, part = Path(work) / "site", Path(work) / "bundle"
        part.mkdir()
        print(f"bundle: {len(pins)} packages and ours", file=sys.stderr)
        _install(site, pins, Path(work))
        packages = trim(site, {} if full else {"imageio-ffmpeg": FFMPEG})
        _pack_models(site, robots)
        _lighten(site, robots, Path(work))
        for name in ("benchmarks/__init__.py", *_tracked("benchmarks")):
            _copy(ROOT / name, part / name)
        shutil.copy2(ROOT / "LICENSE", part / "LICENSE")
        shutil.copy(ROOT / "tools/bundle_run.sh", part / "run.sh")
        os.chmod(part / "run.sh", 0o755)
        for module, what in {} if full else ABSENT.items():
            (part / "absent" / module).mkdir(parents=True)
            (part / "absent" / module / f"{module}.py").write_text(_STAND_IN.format(what=what))
        print("bundle: packing, some minutes", file=sys.stderr)
        pack(site, part / "packages.tar.xz", preset)
        about = {
            "packages": packages,
            "commit": _commit(),
            "full": full,
            "robots": list(robots),
            "assumed": sorted(there),
            "platform": PLATFORM,
        }
        (part / "bundle.json").write_text(json.dumps(about, indent=1) + "\n")
        seal(part)
        size = weigh(part)
        if not full and size >= LIMIT:
            print(f"bundle: {too_large(size, packages, robots)}", file=sys.stderr)
        if out.exists():
            shutil.rmtree(out)
        part.rename(out)
    return {"ok": True, "out": str(out), "bytes": size, "packages": len(pins), "robots": list(robots), "full": full}


def pinned(constraints: str) -> dict[str, str]:
    """Versions by canonical name, of lines `NAME==VERSION`."""
    lines = (line.split("#")[0].strip() for line in constraints.splitlines())
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines) if version}


def requirements(names: Iterable[str], stop: Collection[str] = ()) -> set[str]:
    """Packages with all that they require, as they are installed here, without those of `stop` and what only they require."""
    seen, waiting = set(), [canonicalize_name(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in seen or name in stop:
            continue
        seen.add(name)
        try:
            told = [Requirement(text) for text in importlib.metadata.requires(name) or ()]
        except importlib.metadata.PackageNotFoundError:
            continue  # torch's own, of another platform
        waiting += [canonicalize_name(item.name) for item in told if item.marker is None or item.marker.evaluate({"extra": ""})]
    return seen


def assumed(has: str) -> set[str]:
    """What a server has: torch with its requirements, numpy, and the names in what `pip list` or `pip freeze` printed there.

    Raises BundleError where that says there is no torch.
    """
    names = {
        canonicalize_name(found[1]) for line in has.splitlines() if (found := re.match(r"\s*([A-Za-z0-9][\w.-]*)\s*(?:==|@|\s|$)", line))
    }
    if has and "torch" not in names:
        raise BundleError("--has: no torch in that list; make it on the server with `python3 -m pip list --format=freeze`")
    return requirements(SERVER) | names


def chosen(wanted: Iterable[str], there: Collection[str], pins: Mapping[str, str]) -> dict[str, str]:
    """Versions of what has to be packed, by name. Raises BundleError for a package that constraints.txt does not pin."""
    names = sorted(requirements(wanted, {*there, *UNUSED}))
    if loose := [name for name in names if name not in pins]:
        raise BundleError(f"not pinned in constraints.txt: {', '.join(loose)}")
    return {name: pins[name] for name in names}


def _install(site: Path, pins: Mapping[str, str], work: Path) -> None:
    """Installs packages for the server's platform, and our wheel, into a folder."""
    uv, python = str(ROOT / ".venv/bin/uv"), str(ROOT / ".venv/bin/python")
    listed = work / "requirements.txt"
    listed.write_text("".join(f"{name}=={version}\n" for name, version in pins.items()))
    built = [
        "build",
        "--quiet",
        "--wheel",
        "--build-constraints",
        "constraints.txt",
        "--python",
        python,
        "--out-dir",
        str(work / "dist"),
        ".",
    ]
    target = ["--no-deps", "--target", str(site), "--python", python, "--link-mode", "copy"]
    target += ["--python-platform", PLATFORM, "--python-version", "3.12"]
    _call([uv, *built])
    (wheel,) = (work / "dist").glob("cezanne-*.whl")
    _call([uv, "pip", "install", "--quiet", *target, "--requirement", str(listed)])
    _call([uv, "pip", "install", "--quiet", *target, str(wheel)])
    for name in ("bin", "include", "lib64", "share", ".lock"):
        path = site / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _call(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise BundleError(f"{command[0]} is not installed (strip is in Debian's binutils)") from error
    if done.returncode:
        raise BundleError(f"{' '.join(command[:4])} failed: {done.stderr.strip() or done.returncode}")


def trim(site: Path, also: Mapping[str, tuple[str, ...]]) -> dict[str, dict]:
    """Cuts what nobody needs out of installed packages, and out of their RECORDs; what is left, by name.

    Args:
        site: folder of installed packages.
        also: cuts by package, beside CUTS.
    """
    about = {}
    for info in sorted(site.glob("*.dist-info")):
        found = importlib.metadata.PathDistribution(info)
        name = canonicalize_name(found.metadata["Name"])
        cuts = [*CUTS["*"], *CUTS.get(name, ()), *also.get(name, ())] if name != "cezanne" else []
        kept, lost, size, licences = [], 0, 0, []
        for row in (info / "RECORD").read_text().splitlines():
            said = row.rsplit(",", 2)[0].strip('"')
            path = site / said
            licence = bool(re.search(r"licen[cs]e|copying|notice|authors", said.rsplit("/", 1)[-1], re.IGNORECASE))
            if not path.is_file():
                continue  # a script: there is no bin
            if not licence and any(fnmatch(said, cut) for cut in cuts):
                lost += path.stat().st_size
                path.unlink()
                continue
            if name in STRIPPED and re.search(r"\.so(\.|$)", said):
                lost += path.stat().st_size
                _call(["strip", "--strip-unneeded", str(path)])
                lost -= path.stat().st_size
                digest = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).decode().rstrip("=")
                row = f"{said},sha256={digest},{path.stat().st_size}"
            kept.append(row)
            size += path.stat().st_size
            licences += [said] * licence
        (info / "RECORD").write_text("\n".join(kept) + "\n")
        about[name] = {"version": found.version, "bytes": size, "cut_bytes": lost, "cut": cuts if lost else [], "licences": licences}
        about[name] |= {"stripped": True} if name in STRIPPED else {}
    for folder in sorted((path for path in site.rglob("*") if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
    return about


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


def _pack_models(site: Path, robots: Sequence[str]) -> None:
    """Puts the models of robots and household objects where robosuite would have them, under its licence and version."""
    if unknown := [name for name in robots if name not in ROBOTS]:
        raise BundleError(f"--robots: {', '.join(unknown)} cannot be packed; known: {', '.join(ROBOTS)}")
    theirs = importlib.metadata.distribution("robosuite")
    source, home = Path(str(theirs.locate_file("robosuite"))), site / "robosuite"
    for file in model_files(source / "models/assets", [*(file for name in robots for file in ROBOTS[name]), *HOUSEHOLD]):
        _copy(source / "models/assets" / file, home / "models/assets" / file)
    (home / "__init__.py").write_text(_ROBOSUITE)
    info = f"robosuite-{theirs.version}.dist-info"
    for name in ("METADATA", "LICENSE", "AUTHORS"):
        _copy(Path(str(theirs.locate_file(f"{info}/{name}"))), site / info / name)


def _lighten(site: Path, robots: Sequence[str], work: Path) -> None:
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
    command = [str(ROOT / ".venv/bin/python"), "-P", "-c", _TRIAL, *robots]
    done = subprocess.run(command, cwd=site.parent, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise BundleError(f"a robot cannot be made from what was packed: {done.stderr.strip().splitlines()[-1]}")
    for made in site.rglob("__pycache__"):
        shutil.rmtree(made)
    return done.stdout


def pack(folder: Path, archive: Path, preset: int) -> None:
    """One solid .tar.xz of a folder: the same files give the same bytes."""
    kinds = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: (path.suffix, path.name, path.as_posix()))
    code = {"id": lzma.FILTER_LZMA2, "preset": preset, "dict_size": 64 << 20}
    with (
        lzma.open(archive, "wb", format=lzma.FORMAT_XZ, check=lzma.CHECK_SHA256, filters=[{"id": lzma.FILTER_X86}, code]) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in kinds:
            member = tarfile.TarInfo(path.relative_to(folder).as_posix())
            member.size, member.mode = path.stat().st_size, 0o755 if os.access(path, os.X_OK) else 0o644
            tar.addfile(member, io.BytesIO(path.read_bytes()))


def seal(folder: Path) -> None:
    """Writes SHA256SUMS of all files of a folder, as sha256sum reads them."""
    rows = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "SHA256SUMS"):
        with path.open("rb") as file:
            rows.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.relative_to(folder).as_posix()}\n")
    (folder / "SHA256SUMS").write_text("".join(rows))


def weigh(folder: Path) -> int:
    """Size of all files of a folder [bytes]."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def too_large(size: int, packages: Mapping[str, dict], robots: Sequence[str]) -> str:
    """One line: by how much, and what would do."""
    heavy = sorted(packages, key=lambda name: packages[name]["bytes"], reverse=True)[:4]
    return (
        f"{size / 1e6:.1f} MB where {LIMIT / 1e6:.0f} MB was the aim, with {', '.join(heavy)} the largest and robots {', '.join(robots)}; "
        "HAS=FILE leaves out what the server has, ROBOTS=panda packs one robot, FULL=1 has no limit"
    )


def _tracked(folder: str) -> list[str]:
    told = subprocess.run(["git", "ls-files", folder], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in told.splitlines() if (ROOT / name).is_file()]


def _commit() -> str:
    told = subprocess.run(["git", "describe", "--always", "--dirty=+", "--abbrev=12"], cwd=ROOT, capture_output=True, text=True)
    return told.stdout.strip() or "unknown"


def _copy(source: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, to)


if __name__ == "__main__":
    sys.exit(main())
