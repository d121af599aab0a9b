"""How one trial's world differs from the plain one: perturbation axes for evaluation, domain randomisation for collecting."""

from sim.variation.axis import AXES, STRENGTHS, Axis, vary
from sim.variation.record import recalled, recorded
from sim.variation.variation import PLAIN, Variation

__all__ = ["AXES", "PLAIN", "STRENGTHS", "Axis", "Variation", "recalled", "recorded", "vary"]
