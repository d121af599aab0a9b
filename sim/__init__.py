"""The simulated world: scene, cameras, rendering, a robot that implements the hardware contract, the expert and the collector.

`import sim` makes the environment known to Gymnasium: `gymnasium.make("cezanne/Grasp-v0")`, or `"sim:cezanne/Grasp-v0"` without the import.
"""

import gymnasium

from sim import gl

gl.setup()  # MuJoCo picks its way of rendering when it is imported
gymnasium.register("cezanne/Grasp-v0", entry_point="sim.env:GraspEnv", max_episode_steps=160)
