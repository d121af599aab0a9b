"""The simulated world: scene, cameras, rendering, a robot that implements the hardware contract, the expert and the collector."""
