"""`make bundle`: a folder with which a server that has Python 3.12 and torch, and no network, runs `cezanne`.

    bundle/run.sh             the way in: checks the server, unpacks once, runs (tools/bundle/run.sh)
    bundle/packages.tar.xz    our wheel and what it needs beside torch, installed for Linux on x86-64, and the robots' models
    bundle/benchmarks/        what the wheel leaves out
    bundle/absent/            what a program gets that imports a package left out: a line that says so
    bundle/bundle.json        versions, licences and sizes of the parts, and what was left out of them
    bundle/SHA256SUMS         of all these

Packages are not repacked as wheels: one solid archive is half as large. Their metadata and licences stay.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.bundle.archive import pack, seal, weigh
from tools.bundle.errors import BundleError
from tools.bundle.models import ROBOTS, copy, lighten, pack_models
from tools.bundle.packages import CORE, FFMPEG, MORE, PLATFORM, ROOT, assumed, chosen, install, pinned, trim

LIMIT = 60_000_000
"""Size that the folder must stay under [bytes]."""
ABSENT = {
    "cv2": "OpenCV (opencv-python-headless)",
    "coacd": "coacd",
    "timm": "timm",
}
"""Modules that a core bundle leaves out and that rooms import at their top or when asked: by name, what to install."""
STAND_IN = '''"""Stands in for a package that this bundle leaves out; what is imported but not used does not matter."""


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    raise ImportError("this needs {what}, which is not in the bundle: `make bundle FULL=1` packs it, or install it on the server")
'''


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
        install(site, pins, Path(work))
        packages = trim(site, {} if full else {"imageio-ffmpeg": FFMPEG})
        pack_models(site, robots)
        lighten(site, robots, Path(work))
        for name in ("benchmarks/__init__.py", *_tracked("benchmarks")):
            copy(ROOT / name, part / name)
        shutil.copy2(ROOT / "LICENSE", part / "LICENSE")
        shutil.copy(ROOT / "tools/bundle/run.sh", part / "run.sh")
        os.chmod(part / "run.sh", 0o755)
        for module, what in {} if full else ABSENT.items():
            (part / "absent" / module).mkdir(parents=True)
            (part / "absent" / module / f"{module}.py").write_text(STAND_IN.format(what=what))
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


if __name__ == "__main__":
    sys.exit(main())
