"""What a deployment is told."""

from __future__ import annotations

from dataclasses import dataclass, field

from deploy.errors import DeployError
from deploy.policy import PolicyAt
from deploy.rig import RigConfig


@dataclass
class DeployConfig(RigConfig, PolicyAt):
    """A checkpoint on an arm: contract check, limits, dry run, then go."""

    target: str = "the object"
    """What to pick up, in words."""
    click: dict[str, list[int]] = field(default_factory=dict)
    """Pixels on the target by camera instead, as in click.side=[64,70] click.wrist=[60,62]."""
    box: dict[str, list[int]] = field(default_factory=dict)
    """Boxes around the target by camera instead: x0, y0, x1, y1."""
    speed: float | None = None
    """Share of the arm's speed; new deployments are slow until told otherwise: 0.1 on a physical arm, 1 on sim, 0.5 on franka_sim,
    whose hand closes as slowly as the real one."""
    trials: int = 5
    """Attempts, one object each."""
    seconds: float = 8.0
    """Longest attempt at full speed; slower ones take longer, in proportion [s]."""
    calibration: dict[str, str] = field(default_factory=dict)
    """Of physical cameras, what `cezanne calibrate` wrote, as in calibration.side=side.json: compared with the policy's cameras."""
    suite: str = "toys"
    """Objects of simulated worlds: a suite of `cezanne eval`, or a folder."""
    seed: int = 0
    """Of the objects and their poses."""
    shadow: bool = False
    """Only predict and draw; command nothing."""
    yes: bool = False
    """A physical arm starts without asking the person in front of it."""
    limits: dict[str, float] = field(default_factory=dict)
    """Safety limits that differ from the plain ones, as in limits.contact=0.5."""
    workspace_lower: list[float] = field(default_factory=list)
    """Least x, y, z of any part that moves, in the base's frame [m]; empty: the plain box."""
    workspace_upper: list[float] = field(default_factory=list)
    """Greatest x, y, z [m]."""
    out: str = ""
    """Folder of the report, new or empty; by default one of this moment in runs/deploy."""

    def __post_init__(self) -> None:
        if self.speed is not None and not 0 < self.speed <= 1:
            raise DeployError(f"speed={self.speed}; above 0 and at most 1")
        if not 1 <= self.trials <= 10_000:
            raise DeployError(f"trials={self.trials}; 1 to 10,000 make a deployment")
        if not 0 < self.seconds <= 600:
            raise DeployError(f"seconds={self.seconds}; above 0 and at most 600")
        if self.seed < 0:
            raise DeployError(f"seed={self.seed} cannot be negative")
        for name in ("workspace_lower", "workspace_upper"):
            if len(getattr(self, name)) not in (0, 3):
                raise DeployError(f"{name}={getattr(self, name)}; give x, y, z")
        for name, wanted in (("click", "x, y"), ("box", "x0, y0, x1, y1")):
            for camera, given in getattr(self, name).items():
                if len(given) != len(wanted.split()):
                    raise DeployError(f"{name}.{camera}={given}; give {wanted}")
