"""Tells Gymnasium of our environments; imports nothing heavy, since every `import gymnasium` calls it."""

import gymnasium


def register() -> None:
    """`gymnasium.make("cezanne/Grasp-v0")`; Gymnasium supplies the namespace, the entry point's name."""
    gymnasium.register("Grasp-v0", entry_point="sim.env:GraspEnv", max_episode_steps=160)
