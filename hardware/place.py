"""Where an arm may be: what of it is outside the workspace, what is too near another part, and the nearest pose that is allowed."""

from __future__ import annotations

import numpy as np

from hardware.limits import Limits


def within(limits: Limits, q: np.ndarray) -> np.ndarray:
    """Joint positions near q (n,) [rad] that are inside the workspace: a policy that asks for a millimetre below the table slides along it.

    q itself where it is inside, further outside than `limits.reach`, or where no pose inside is found.
    """
    found, weight = q, 1e-4
    for _ in range(12):
        depth, link, axis, sign, point = outermost(limits, found)
        if depth <= -limits.inside + 1e-4:
            return found
        if depth > limits.reach:
            return q
        slope = sign * limits.arm.jacobian(found, link, point)[axis]  # (n,) of the depth
        found = np.clip(found - slope * (depth + limits.inside) / (slope @ slope + weight), limits.lower, limits.upper)
    return q


def outermost(limits: Limits, q: np.ndarray) -> tuple[float, int, int, float, np.ndarray]:
    """The part of the arm that is furthest outside the workspace, or nearest to its border, at positions q (..., n) [rad].

    Returns:
        How far outside [m], below zero inside; its link; the axis and side (-1 below, 1 above); the point of the arm's skeleton, (3,) [m].
    """
    return _outermost(limits, np.stack(limits.arm.segments(q)))


def _outermost(limits: Limits, ends: np.ndarray) -> tuple[float, int, int, float, np.ndarray]:
    """ends (2, ..., C, 3) [m]."""
    arm, box = limits.arm, limits.workspace
    moving = arm.links > 1  # the first joint's link turns in its place, beside the base
    ends, radii = ends[..., moving, :], arm.radii[moving][:, None]
    depth = np.stack([np.array(box.lower) - (ends - radii), ends + radii - np.array(box.upper)])  # (side, 2, ..., C, 3)
    side, *place, axis = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(depth.max()), int(arm.links[moving][place[-1]]), int(axis), float(2 * side - 1), ends[tuple(place)]


def forbidden_place(limits: Limits, q: np.ndarray, inset: float = 0.0) -> str:
    """What part of the arm is outside the workspace or too near another; empty where none is.

    Args:
        limits: of the arm.
        q: joint positions, (n,), or (S, n) of a path [rad].
        inset: by how much more than the limits ask for it must be inside, and apart [m].
    """
    arm = limits.arm
    start, end = arm.segments(q)
    depth, link, axis, side, _ = _outermost(limits, np.stack([start, end]))
    if depth > -inset:
        return f"link {link} {depth * 1000:.0f} mm {'below' if side < 0 else 'beyond'} the workspace in {'xyz'[axis]}"
    gaps = arm.apartness(start, end)
    if gaps.size and gaps.min() < limits.clearance + inset:
        a, b = arm.links[arm.pairs[int(gaps.argmin()) % len(arm.pairs)]]
        return f"links {min(a, b)} and {max(a, b)} {gaps.min() * 1000:.0f} mm apart"
    return ""
