"""What is different in one trial."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco

from sim.camera import Camera
from sim.errors import SceneError
from sim.variation.clutter import Distractor, Post, arrange, distractor_name, post_name
from sim.variation.handling import scale_friction, scale_mass
from sim.variation.light import Light
from sim.variation.maskfault import MaskFault
from sim.variation.sensor import Sensor
from sim.variation.texture import Texture
from sim.variation.views import Views


@dataclass(frozen=True)
class Variation:
    """How one trial's world differs from the plain one. Complete: two trials of the same variation and placement are equal."""

    axis: str = "none"
    strength: float = 0.0
    light: Light | None = None
    texture: Texture | None = None
    views: Views | None = None
    distractors: tuple[Distractor, ...] = ()
    post: Post | None = None
    mass: float = 1.0
    """Factor of the object's mass and inertia."""
    friction: float = 1.0
    """Factor of the object's friction."""
    start: tuple[float, ...] = ()
    """Added to the arm's home pose, joint by joint [rad]; of more than it has joints the first, empty: nothing."""
    delay: int = 0
    """Age of what is observed [control steps]."""
    action_noise: float = 0.0
    """Standard deviation of what is added to each joint target [rad], and to the gripper's."""
    mask: MaskFault | None = None
    sensor: Sensor | None = None
    seed: int = 0
    """Of the noise on actions."""

    def __post_init__(self) -> None:
        if not (0.05 <= self.mass <= 20 and 0.01 <= self.friction <= 10):
            raise SceneError(f"mass x {self.mass}, friction x {self.friction}; factors are 0.05 to 20 and 0.01 to 10")
        if not 0 <= self.delay <= 100 or not 0 <= self.action_noise <= 1:
            raise SceneError(f"delay={self.delay} steps, action_noise={self.action_noise} rad; they lie in 0 to 100 and 0 to 1")

    @property
    def disturbs(self) -> bool:
        """Whether sensing or acting differs, not only the scene."""
        return bool(self.start or self.delay or self.action_noise or self.mask or self.sensor)

    @property
    def shadows(self) -> bool:
        """Whether pictures show shadows, which takes time."""
        return self.light is not None and self.light.shadows

    def seen_by(self, camera: Camera) -> Camera:
        """A camera as it really stands."""
        return camera if self.views is None else self.views.moved(camera)

    def edit(self, spec: mujoco.MjSpec) -> None:
        """Changes a scene that has its table and its object, before it is compiled."""
        for look in (self.light, self.texture):
            if look is not None:
                look.edit(spec)
        if self.mass != 1:
            scale_mass(spec, self.mass)
        if self.friction != 1:
            scale_friction(spec, self.friction)
        for k, distractor in enumerate(self.distractors):
            distractor.add_to(spec, distractor_name(k), far=k + 1.0)
        if self.post is not None:
            self.post.add_to(spec, post_name())

    def arrange(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        """Sets what is beside the object around it, once it is at rest."""
        if self.distractors or self.post is not None:
            arrange(model, data, self.distractors, self.post)


PLAIN = Variation()
