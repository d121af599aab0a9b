"""Which packages are packed, in which versions, and what is cut out of them."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import re
import shutil
import subprocess
from collections.abc import Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.bundle.errors import BundleError

ROOT = Path(__file__).resolve().parents[2]
SERVER = ("torch", "numpy")
"""What a server is assumed to have, with all that these require."""
CORE = (
    *("accelerate", "fast-simplification", "gymnasium", "hydra-core", "imageio-ffmpeg", "jinja2", "manifold3d", "matplotlib"),
    *("mujoco", "numcodecs", "omegaconf", "pillow", "psutil", "pyarrow", "pyopengl", "pyyaml", "rich", "ruckig", "safetensors", "scipy"),
    *("tensorboard", "tqdm", "trimesh", "zarr"),
)
"""What doctor, toys, objects, collect, train, eval, sweep, compare, study and demo import."""
MORE = ("coacd", "opencv-python-headless", "lavavu-osmesa", "timm")
"""What `--full` adds: augment, perturbations of masks and pictures, rendering without EGL, films, pretrained backbones, `objects add`."""
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


def install(site: Path, pins: Mapping[str, str], work: Path) -> None:
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
    if shutil.which(command[0]) is None:
        raise BundleError(f"{command[0]} is not installed" + (" (it is in Debian's binutils)" if command[0] == "strip" else ""))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
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
