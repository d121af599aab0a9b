"""The simulated world: scene, cameras, rendering, a robot that implements the hardware contract, the expert and the collector."""

from sim import gl

gl.setup()  # MuJoCo picks its way of rendering when it is imported
