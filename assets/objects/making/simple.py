"""The same surface with fewer faces."""

from __future__ import annotations

import fast_simplification
import numpy as np
import trimesh


def simplify(mesh: trimesh.Trimesh, faces: int) -> trimesh.Trimesh:
    """The mesh with at most about this many faces; itself where it has no more."""
    if len(mesh.faces) <= faces:
        return mesh
    points, corners = fast_simplification.simplify(
        np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int32), target_count=faces
    )[:2]
    fewer = trimesh.Trimesh(points, corners)
    return fewer if len(fewer.faces) else mesh
