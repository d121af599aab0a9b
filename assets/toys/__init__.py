"""Random toys: one to five spheres, cuboids, cylinders and rings, merged."""

from assets.errors import ToyError
from assets.toys.mjcf import toy_mjcf, toy_spec
from assets.toys.part import SHAPES, Part
from assets.toys.sampler import Recipe, sample_toy
from assets.toys.solid import toy_mesh
from assets.toys.toy import COLOURS, Toy
from assets.toys.toyset import ToySet

__all__ = ["COLOURS", "SHAPES", "Part", "Recipe", "Toy", "ToyError", "ToySet", "sample_toy", "toy_mesh", "toy_mjcf", "toy_spec"]
