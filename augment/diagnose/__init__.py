"""Whether a data mixture teaches the task or the camera."""

from augment.diagnose.information import normalized_mutual_information

__all__ = ["normalized_mutual_information"]
