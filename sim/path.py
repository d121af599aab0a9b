"""Ways of the arm to a grasp, straight down and up again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim.grasp import Grasp
from sim.ik import InverseKinematics
from sim.robots import Arm

_HZ = 20
"""Control steps a second."""
_SPEED = 1.5
"""At the peak, of joints that could go faster [rad/s]."""
HOLD = 12
"""Control steps at the end of a path that hold what was lifted."""
HOVER = 0.10
"""How far above a grasp the straight way down begins [m]."""


@dataclass(frozen=True)
class Path:
    """A way to a grasp and up again, one row a control step."""

    targets: np.ndarray
    """Joint targets, then the gripper, (T, n + m)."""
    descent: int
    """First step of the straight way down."""
    close: int
    """First step of the closing."""
    lift: int
    """First step of the way up."""


class Router:
    """Finds paths for one arm. Looks at nothing: the same grasp from the same joint positions gives the same path."""

    def __init__(self, solver: InverseKinematics, arm: Arm, *, lift: float) -> None:
        self._ik, self._home, self._hand, self._lift = solver, np.array(arm.home), arm.hand, lift
        self._fastest = np.array(arm.speed)
        self._speed = np.minimum(_SPEED, 0.7 * self._fastest)  # what disturbs a demonstration comes on top

    def path(self, grasp: Grasp, start: np.ndarray, *, rise_from: tuple[np.ndarray, np.ndarray] | None = None) -> Path | None:
        """The way from joint positions `start` (n,) [rad] to `grasp` and up; None where the arm does not reach.

        rise_from: the pose of the grip site at `start`, position (3,) [m] and rotation (3, 3): go straight up from there first, the jaw
            opening, as after a close that missed.
        """
        solve, home = self._ik.solve, self._home
        closing = self._hand.closing(grasp.preshape, grasp.width)
        goal = grasp.pos - np.array([0, 0, closing.lower[0]])
        hover = goal + np.array([0, 0, HOVER])
        above, reached = solve(hover, grasp.yaw, home)
        if not reached:
            return None
        legs = []
        if rise_from is not None:
            here, yaw = rise_from[0], self._yaw(rise_from[1])
            top = np.array([*here[:2], max(here[2], hover[2] - 0.02)])
            up, reached = solve(top, yaw, start)
            if reached:
                legs.append(_ease(start, up, self._steps(start, up, least=6)))
                start = up
        legs.append(_ease(start, above, self._steps(start, above, least=12)))
        down, reached = self._straight(hover, goal, grasp.yaw, above, 13)
        if not reached:
            return None
        squeeze, reached = self._follow(grasp, closing.lower, down[-1])
        if not reached:
            return None
        goal = grasp.pos - np.array([0, 0, closing.lower[-1]])
        lifted, reached = self._straight(goal, goal + np.array([0, 0, self._lift]), grasp.yaw, squeeze[-1], 16)
        if not reached:
            return None
        descent = sum(map(len, legs))
        close = descent + len(down)
        hold = np.repeat(lifted[-1:], HOLD, axis=0)
        joints = np.concatenate([*legs, down, squeeze, lifted, hold])
        ready = np.tile(self._hand.preshapes[grasp.preshape].ready, (close, 1))
        shut = np.repeat(closing.values[-1:], len(lifted) + len(hold), axis=0)
        gripper = np.concatenate([ready, closing.values, shut])
        return Path(np.column_stack([joints, gripper]), descent, close, close + len(squeeze))

    def tour(self, start: np.ndarray, stops: Sequence[tuple[np.ndarray, float]]) -> np.ndarray:
        """Joint positions (T, n) [rad] from `start` by way of each (position (3,) [m], yaw [rad]) of the grip site that can be reached."""
        legs = [start[None]]
        for pos, yaw in stops:
            q, reached = self._ik.solve(pos, yaw, self._home)
            if reached:
                legs.append(_ease(legs[-1][-1], q, self._steps(legs[-1][-1], q, least=6)))
        return np.concatenate(legs)

    def _straight(self, a: np.ndarray, b: np.ndarray, yaw: float, start: np.ndarray, steps: int) -> tuple[np.ndarray, bool]:
        """Joint positions along a straight line, eased at both ends, and whether all of it can be reached: at least `steps` rows, more
        where a joint would be too fast."""
        for _ in range(2):
            rows, q, reached = [start], start, True
            for s in np.linspace(0, 1, steps + 1)[1:]:
                q, ok = self._ik.solve(a + (b - a) * _smooth(s), yaw, q, iterations=12)
                reached &= ok
                rows.append(q)
            haste = float((np.abs(np.diff(rows, axis=0)) / self._fastest).max()) * _HZ
            if not reached or haste <= 0.95:
                break
            steps = int(np.ceil(steps * haste / 0.9))
        return np.array(rows[1:]), reached and haste <= 1

    def _follow(self, grasp: Grasp, lower: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, bool]:
        """Joint positions while the hand closes, the arm so far below the grasp, (k, n), and whether all of it can be reached."""
        rows, q, reached = [], start, True
        for k, below in enumerate(lower):
            if below != lower[max(k - 1, 0)]:
                q, ok = self._ik.solve(grasp.pos - np.array([0, 0, below]), grasp.yaw, q, iterations=12)
                reached &= ok
            rows.append(q)
        return np.array(rows), reached

    def _steps(self, a: np.ndarray, b: np.ndarray, *, least: int) -> int:
        """Control steps from a to b at the peak of a joint's speed."""
        return max(least, int(np.ceil((1.5 * np.abs(b - a) / self._speed).max() * _HZ)))

    def _yaw(self, rotation: np.ndarray) -> float:
        """Turn of the grip site about the vertical, of a symmetric hand in [-pi/2, pi/2], else in [-pi, pi] [rad]."""
        x, y = rotation[:2, 1]
        half = np.pi / 2 if self._hand.room.symmetric else np.pi
        return float((np.arctan2(x, -y) + half) % (2 * half) - half)


def _smooth(s: np.ndarray) -> np.ndarray:
    return s * s * (3 - 2 * s)


def _ease(a: np.ndarray, b: np.ndarray, steps: int) -> np.ndarray:
    """From a (excluded) to b in joint space, eased at both ends, (steps, n)."""
    return a + (b - a) * _smooth(np.linspace(0, 1, steps + 1)[1:])[:, None]
