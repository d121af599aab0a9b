"""Whether cameras stand where a policy learnt with them: by their poses, since names are easily exchanged."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from episodes.info import CameraInfo
from policies.errors import PolicyError

MM, DEG, FOV = 20.0, 3.0, 2.0
"""How far a camera may be off, be turned, and see wider or less [deg]: as `deploy.cameras.view_check.Tolerance` has it."""


def check_views(wanted: Mapping[str, CameraInfo], there: Mapping[str, CameraInfo]) -> None:
    """Raises PolicyError where a camera of both stands, or looks, elsewhere. What one of them does not know is not compared.

    Args:
        wanted: where the policy's cameras stood, by name.
        there: where the cameras of a scene or a data set stand.
    """
    for name, view in wanted.items():
        if name not in there or not known(view) or not known(there[name]) or not (wrong := difference(view, there[name])):
            continue
        stands = [other for other in found_at(view, there) if other != name]
        hint = f"; camera {stands[0]!r} stands there: are the two exchanged?" if stands else ""
        raise PolicyError(f"camera {name!r} is not where the policy learnt with it: {wrong}{hint}")


def found_at(view: CameraInfo, there: Mapping[str, CameraInfo]) -> list[str]:
    """The cameras that stand where one should."""
    return [name for name, other in there.items() if known(view) and known(other) and not difference(view, other)]


def known(view: CameraInfo) -> bool:
    """Whether a pose was said: data sets that know none have the identity, a camera within the robot's foot that looks up."""
    return not np.array_equal(view.extrinsics, np.eye(4))


def difference(mine: CameraInfo, other: CameraInfo) -> str:
    """What is otherwise about a camera, beyond what may be; empty where nothing is."""
    if mine.body != other.body:
        return f"it was fixed to {mine.body!r}, here it is fixed to {other.body!r}"
    a, b = np.asarray(mine.extrinsics, float), np.asarray(other.extrinsics, float)
    off = 1000 * float(np.linalg.norm(a[:3, 3] - b[:3, 3]))  # [mm]
    cosine = (float(np.trace(a[:3, :3].T @ b[:3, :3])) - 1) / 2
    turned, wider = float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))), other.fovy - mine.fovy
    if off <= MM and turned <= DEG and abs(wider) <= FOV:
        return ""
    return f"{off:.0f} mm off, turned by {turned:.1f} deg, field of view {wider:+.1f} deg (allowed are {MM:g} mm, {DEG:g} deg, {FOV:g} deg)"
