"""robosuite, imported without its noise: warnings about macros that nobody needs, and about its own escape sequences."""

from __future__ import annotations

import importlib
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np

from sim import gl
from sim.errors import SceneError

_LOG = "robosuite_logs"


def _imported() -> ModuleType:
    """Takes seconds where it was not imported before. Raises SceneError where it is not installed."""
    gl.setup()  # robosuite decides for EGL where nobody has decided
    if find_spec("robosuite") is None:
        raise SceneError("robosuite is not installed; `make setup` installs it")
    backend = os.environ.get("MUJOCO_GL")
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = importlib.import_module("robosuite")
    if backend is None:
        os.environ.pop("MUJOCO_GL", None)
    return module


@contextmanager
def quiet() -> Iterator[None]:
    """While it lasts, robosuite's log is silent: it tells on every construction which file its controller came from."""
    log = logging.getLogger(_LOG)
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before


@contextmanager
def drawn_from(rng: np.random.Generator | None) -> Iterator[None]:
    """While it lasts, what robosuite draws comes from `rng`: it draws from numpy's global state. None: from there, as ever."""
    if rng is None:
        yield
        return
    before = np.random.get_state()  # noqa: NPY002  theirs, not ours
    np.random.seed(int(rng.integers(2**32)))  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


robosuite: Any = _imported()
