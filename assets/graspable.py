"""Anything that can lie on the table."""

from __future__ import annotations

from typing import Protocol

import mujoco

VISUAL, CONTACT = 2, 3
"""Geom groups: what is seen and what is touched."""


class Graspable(Protocol):
    """An object that a robot may grasp. A frozen value: it pickles, and two calls of `spec()` give equal models."""

    @property
    def name(self) -> str:
        """A file-name-safe identifier."""
        ...

    @property
    def upright(self) -> bool:
        """True: placed as modelled, z up, turned about z. False: dropped from any rotation too."""
        ...

    def spec(self) -> mujoco.MjSpec:
        """One body "object" under the world with a free joint "object"; group 2 is seen, group 3 is touched.

        Every asset is named "object/...". Mass and inertia are set on the body or by the geoms of group 3.
        """
        ...
