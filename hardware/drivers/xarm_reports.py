"""The reports of a UFACTORY controller, 100 a second: positions and torques as they came, checked."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any

import numpy as np

SPAN = 0.05
"""Time that a velocity is taken over: reports carry positions alone, and no time stamps [s]."""
BURST = 0.004
"""Reports that come closer together were held up on the way; the last of them counts, or speeds would come out too high [s]."""
FURTHEST = 7.0
"""No joint of theirs goes that far [rad]."""


class Reports:
    """The newest of the arm's reports, read in the SDK's thread, where they are not changed."""

    def __init__(self, client: Any, n: int) -> None:
        self._client, self._n = client, n
        self.changed = threading.Condition()
        """Guards what follows, and is notified of every report."""
        self.state = self.mode = -1
        self.samples: deque[tuple[float, np.ndarray]] = deque(maxlen=64)
        """When they came [s, monotonic], and joint positions (n,) [rad], of the last `SPAN`; the newest last."""
        self.torque = np.zeros(n)
        """Of the newest, (n,) [N m]."""
        self.trouble = ""
        """What was wrong with one; stays."""
        client.register_report_callback(self._take, *[False] * 8)

    def _take(self, _: Any) -> None:
        now, data, n = time.monotonic(), self._client.report_data, self._n
        qpos, torque = np.array(data.actual_joint_angle[:n]), np.array(data.estimated_joint_torque[:n])
        with self.changed:
            if not (np.isfinite(qpos).all() and np.isfinite(torque).all()) or np.abs(qpos).max() > FURTHEST:
                self.trouble = f"a malformed report: joints at {qpos}, torques {torque}"
            else:
                self.state, self.mode, self.torque = data.state, data.mode, torque
                if len(self.samples) > 1 and now - self.samples[-1][0] < BURST:
                    self.samples.pop()
                self.samples.append((now, qpos))
                while len(self.samples) > 3 and self.samples[1][0] < now - SPAN:
                    self.samples.popleft()
            self.changed.notify_all()
