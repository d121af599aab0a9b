"""The bridge to robosuite, and all that knows its ways: torque motors, pictures upside down, prefixes of names.

    import sim.bridge
    env = robosuite.make("CezanneGrasp", robots="Panda")      our task, for people who live there
    sim.bridge.RobosuiteRobot("Lift")                         their tasks, for policies of ours

Importing it imports robosuite, which takes seconds: nothing else in `sim` does.
"""

from sim.bridge import wheel  # first: it keeps robosuite's import quiet
from sim.bridge.loop import VENUES, RobosuiteRobot, Venue, joint_control
from sim.bridge.task import CezanneGrasp
from sim.bridge.thing import Thing

__all__ = ["VENUES", "CezanneGrasp", "RobosuiteRobot", "Thing", "Venue", "joint_control", "wheel"]
