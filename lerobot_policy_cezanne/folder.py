"""A folder that LeRobot and Cezanne both read: one config.json for the two, the weights that act, and those that training goes on from."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import draccus
import torch
from lerobot.configs import PreTrainedConfig
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from lerobot_policy_cezanne.configuration_cezanne import CezanneConfig
from lerobot_policy_cezanne.processor_cezanne import check_processors
from policies.checkpoint import Checkpoint, find_checkpoint, load_checkpoint, load_tensors, save_checkpoint
from policies.errors import PolicyError
from policies.guard.sums import write_sums
from policies.network import PolicyNetwork

CONFIG, TRAINED = "config.json", "model.safetensors"
"""LeRobot's names. Beside them lie weights.safetensors (averaged: the ones that act), contract.json, stats.json and fingerprint.json."""
UPDATES = "updates"
"""How many steps the average has followed."""
FETCHED = ["*.json", "*.safetensors"]


@dataclass(frozen=True)
class Stored:
    """What a folder held."""

    checkpoint: Checkpoint
    average: PolicyNetwork
    trained: Mapping[str, Tensor]
    """Weights that training goes on from."""
    updates: float


def find_folder(name: str | Path, revision: str | None = None) -> Path:
    """A checkpoint's folder, or a run's newest; what is no folder here is looked for on the hub. Raises PolicyError."""
    if Path(name).is_dir():
        return find_checkpoint(Path(name))
    from huggingface_hub import snapshot_download

    try:
        return find_checkpoint(Path(snapshot_download(str(name), revision=revision, allow_patterns=FETCHED)))
    except PolicyError:
        raise
    except Exception as error:  # it has a dozen kinds of its own, of requests and of the system
        raise PolicyError(f"there is no folder {name}, and the hub does not give it ({type(error).__name__})") from error


def read_folder(path: Path) -> Stored:
    """Everything in a folder by `write_folder` or `cezanne train`, every part checked. Raises PolicyError."""
    check_processors(path)
    checkpoint, average = load_checkpoint(path)
    if not (path / TRAINED).exists():  # made by `cezanne train`: training goes on from what acts
        return Stored(checkpoint, average, average.state_dict(), 0.0)
    expected = {name: weight.shape for name, weight in average.state_dict().items()}
    try:
        found = load_tensors(path / TRAINED, expected | {UPDATES: torch.Size([])})
    except PolicyError as error:
        raise PolicyError(f"checkpoint {path}: {error}") from None
    return Stored(checkpoint, average, found, float(found.pop(UPDATES)))


def read_config(path: Path, checkpoint: Checkpoint) -> CezanneConfig:
    """LeRobot's configuration of a folder; of one by `cezanne train`, whose config.json has no type, all but the network by default."""
    try:
        said = json.loads((path / CONFIG).read_text(encoding="utf-8"))
        if "type" not in said:
            return CezanneConfig(policy=checkpoint.config)
        found = PreTrainedConfig.from_pretrained(path)
    except (OSError, ValueError, TypeError, draccus.utils.DecodingError) as error:
        raise PolicyError(f"{path / CONFIG}: {(str(error).splitlines() or [type(error).__name__])[0][:160]}") from None
    if not isinstance(found, CezanneConfig):
        raise PolicyError(f"{path / CONFIG} is of a policy of type {found.type!r}; cezanne is wanted")
    return found


def write_folder(path: Path, config: CezanneConfig, checkpoint: Checkpoint, state: Mapping[str, Tensor]) -> None:
    """Puts a policy's files into a folder, over older ones. `state`: `network.*`, `average.*` and how often it was updated.

    Raises PolicyError.
    """
    parts = {part: {k.removeprefix(part): v for k, v in state.items() if k.startswith(part)} for part in ("network.", "average.")}
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as scratch:
            made = Path(scratch) / "checkpoint"
            save_checkpoint(made, checkpoint, _whole(parts["average."]), {})
            (made / "train_state.safetensors").unlink()  # LeRobot keeps its own
            save_file(_whole({**parts["network."], UPDATES: state[UPDATES]}), made / TRAINED, metadata={"format": "pt"})
            (made / CONFIG).unlink()
            config._save_pretrained(made)
            write_sums(made)
            write_sums(made)
            for file in made.iterdir():
                os.replace(file, path / file.name)
    except (OSError, SafetensorError, ValueError) as error:
        raise PolicyError(f"cannot write {path}: {error}") from error


def _whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
