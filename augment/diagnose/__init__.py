"""Whether a data mixture teaches the task or the camera."""
