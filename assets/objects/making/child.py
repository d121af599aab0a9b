"""What the child process runs: MESH OUT UNIT MASS DENSITY as-is|remesh. It ends with REFUSED where the file is at fault."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from assets.errors import ObjectError

REFUSED = 3
"""Exit code of a child that does not take the file."""


def main() -> None:
    """Reads the arguments, sets the limits, makes the pack."""
    source, out, unit, mass, density, mode, memory, seconds = sys.argv[1:9]
    resource.setrlimit(resource.RLIMIT_AS, (int(memory), int(memory)))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from assets.objects.making.shape import read_shape
    from assets.objects.making.weight import Weight

    weight = Weight(float(mass) if mass else None, float(density) if density else None, unit)
    try:
        shape = read_shape(Path(source), unit)
    except Exception as error:  # a reader of foreign files may raise anything
        said = " ".join(str(error).split())[:300]
        print(said if isinstance(error, ObjectError) else f"no mesh can be made of it: {type(error).__name__}: {said}", file=sys.stderr)
        sys.exit(REFUSED)
    from assets.objects.making.cut import cut
    from assets.objects.making.solid import make_solid
    from assets.objects.making.writing import write_pack

    try:
        solid = make_solid(shape.mesh)
        write_pack(Path(out), shape, solid, cut(solid.mesh, remesh=mode == "remesh"), weight)
    except Exception as error:
        sys.exit(" ".join(str(error).split())[:300] or type(error).__name__)
