"""A scene with another arm in the Panda's place: posed and drawn, never stepped."""

from __future__ import annotations

import mujoco
import numpy as np

from assets.graspable import VISUAL
from sim.render import Renderer
from sim.robots import PANDA, Arm
from sim.simrobot import SimRobot
from sim.support import lowest


class Puppet:
    """Beside the arm all is where `robot` has it: object, clutter, cameras. A camera of the hand keeps its place relative to the grip site.

    Args:
        robot: connected.
        arm: takes the Panda's place.
        base: of the arm, in the Panda's base frame, (3,) [m].
    """

    def __init__(self, robot: SimRobot, arm: Arm, base: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> None:
        self.arm, self._robot, self._size = arm, robot, robot.config.size
        scene = robot.config.build(arm)
        scene.spec.body("base").pos = base
        model = self.model = scene.compile()
        self._data = mujoco.MjData(model)
        self._arm = model.body_rootid == model.body("base").id
        moves = self._arm & (model.body_weldid > 0)
        self._moving = np.flatnonzero(moves[model.geom_bodyid] & (model.geom_group == VISUAL))
        self._joints = np.array([model.joint(name).qposadr[0] for name in arm.joints])
        self._fingers = np.array([model.joint(name).qposadr[0] for name in arm.hand.joints])
        here, there = _beside(model, arm), _beside(robot.model, PANDA)
        self._here, self._there = (np.concatenate([of[name] for name in here]) for of in (here, there))
        self._renderer = Renderer(model, shadows=robot.config.variation.shadows)

    def pose(self, qpos: np.ndarray, gripper: np.ndarray) -> None:
        """The arm at joint positions (n,) [rad], its hand at values (m,); all else as the robot has it now."""
        data, model, other = self._data, self.model, self._robot.model
        data.qpos[self._here] = self._robot.data.qpos[self._there]
        data.qpos[self._joints] = qpos
        data.qpos[self._fingers] = self.arm.hand.positions(gripper)
        for k in range(model.ncam):
            twin = other.camera(model.camera(k).name).id
            model.cam_pos[k], model.cam_quat[k], model.cam_fovy[k] = other.cam_pos[twin], other.cam_quat[twin], other.cam_fovy[twin]
        mujoco.mj_kinematics(model, data)
        mujoco.mj_camlight(model, data)

    def draw(self, camera: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Picture (size, size, 3) uint8, pixels of the object and pixels of the arm, (size, size) bool, as one camera sees them."""
        renderer = self._renderer
        renderer.look(self._data, camera)
        return renderer.picture(self._size), renderer.mask(self._size), renderer.mask_of(self._arm, self._size)

    @property
    def lowest(self) -> float:
        """Height of the lowest point of what moves of the arm above the table's top [m]."""
        return min(lowest(self.model, self._data, geom) for geom in self._moving)

    def close(self) -> None:
        """Gives back what drawing took; idempotent."""
        self._renderer.close()


def _beside(model: mujoco.MjModel, arm: Arm) -> dict[str, np.ndarray]:
    """Indices into qpos of every joint that is not the arm's."""
    width = {mujoco.mjtJoint.mjJNT_FREE: 7, mujoco.mjtJoint.mjJNT_BALL: 4}
    own = {*arm.joints, *arm.hand.joints}
    found = {}
    for k in range(model.njnt):
        if model.joint(k).name not in own:
            begin = model.jnt_qposadr[k]
            found[model.joint(k).name] = np.arange(begin, begin + width.get(model.jnt_type[k], 1))
    return found
