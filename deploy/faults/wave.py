"""A policy without a network, that rocks the arm about its home pose; `python -m deploy.faults.wave` serves it as a child process."""

from __future__ import annotations

import argparse
import json
import signal
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

import numpy as np

from hardware.api import ActionChunk, Observation
from hardware.child import token_from_parent
from hardware.model import load_arm
from hardware.serve import PolicyServer, Serving

LENGTH = 16
"""Actions of an answer."""
_TURN = 1.57
"""Of the wave [rad/s]."""


@dataclass
class Wave:
    """Implements `hardware.api.Policy`."""

    home: np.ndarray
    """Middle of the motion, (n,) [rad]."""
    period: float
    """Between its actions as they are carried out [s]."""
    width: float = 0.4
    """Of the first joint's motion to either side [rad]; the others move a tenth of it."""
    bend: Callable[[ActionChunk], ActionChunk] = lambda chunk: chunk
    """What becomes of an answer; may wait, or raise."""
    _begun: float | None = None

    def reset(self, instruction: str) -> None:
        """The wave begins anew, with the next observation."""
        self._begun = None

    def predict(self, observation: Observation) -> ActionChunk:
        """Where the joints should be at the times of the actions."""
        if self._begun is None:
            self._begun = observation.time
        times = observation.time - self._begun + self.period * np.arange(LENGTH)
        width = np.full(len(self.home), self.width / 10)
        width[0] = self.width
        qpos = self.home + np.sin(_TURN * times)[:, None] * width
        return self.bend(ActionChunk(qpos, np.ones((LENGTH, len(observation.gripper)))))


def main() -> None:
    """Serves until its parent is gone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arm", default="panda")
    parser.add_argument("--period", type=float, default=0.05)
    options = parser.parse_args()
    token = token_from_parent()
    wave = Wave(np.array(load_arm(options.arm).home), options.period)
    with PolicyServer(wave, Serving(token), {"arm": options.arm}, {"policy": "wave"}) as server:

        def end(number: int, frame: FrameType | None) -> None:
            server.stop()

        signal.signal(signal.SIGTERM, end)
        print(json.dumps({"port": server.port}), flush=True)
        server.run()


if __name__ == "__main__":
    main()
