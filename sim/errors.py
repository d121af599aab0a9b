"""What can go wrong in the simulated world."""

from hardware.api import RobotError


class SceneError(RobotError):
    """A scene cannot be built as asked."""


class PlacementError(RobotError):
    """An object does not come to rest where it was put."""
