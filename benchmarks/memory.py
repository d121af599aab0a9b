"""The most memory that a piece of work held."""

from __future__ import annotations

from pathlib import Path

import torch

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def start(device: torch.device) -> float | None:
    """Forgets the peak so far and returns what is held now [MB]; None where the system does not tell."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device) / 1e6
    try:
        CLEAR.write_text("5")  # Linux: the peak becomes what is resident now
    except OSError:
        return None
    return _kilobytes("VmRSS") / 1e3


def peak(device: torch.device) -> float | None:
    """The most held since `start` [MB]: tensors of a GPU, all of the process's resident memory elsewhere."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    return _kilobytes("VmHWM") / 1e3 if CLEAR.exists() else None


def _kilobytes(name: str) -> float:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(name))
    return float(line.split()[1])
