"""A checkpoint is a folder of safetensors and JSON: nothing in it can name code to run."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from policies.config import PolicyConfig
from policies.contract import Contract
from policies.errors import PolicyError
from policies.network import PolicyNetwork
from policies.stats import Stats

FORMAT = 1
"""Version of the format."""


@dataclass(frozen=True)
class Checkpoint:
    """A trained policy as stored."""

    config: PolicyConfig
    contract: Contract
    stats: Stats
    fingerprint: Mapping[str, Any]
    """What made it: data, versions, training configuration."""

    def network(self) -> PolicyNetwork:
        """A network with fresh weights."""
        c = self.contract
        return PolicyNetwork(self.config, len(c.cameras), c.size, len(c.joints), c.gripper, self.stats)


def save_checkpoint(path: Path, checkpoint: Checkpoint, weights: Mapping[str, Tensor], train_state: Mapping[str, Tensor]) -> None:
    """Writes a folder under a temporary name and renames it: it is there in whole or not at all. Raises PolicyError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        save_file(dict(weights), temporary / "weights.safetensors")
        save_file(dict(train_state), temporary / "train_state.safetensors")
        tables = {
            "config": {"format": FORMAT, "policy": plain(asdict(checkpoint.config))},
            "contract": checkpoint.contract.to_json(),
            "stats": checkpoint.stats.to_json(),
            "fingerprint": dict(checkpoint.fingerprint),
        }
        for name, table in tables.items():
            (temporary / f"{name}.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
        for file in temporary.iterdir():
            _sync(file)
        if path.exists():
            shutil.rmtree(path)
        os.rename(temporary, path)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise PolicyError(f"cannot write checkpoint {path}: {error}") from error


def load_checkpoint(path: Path) -> tuple[Checkpoint, PolicyNetwork]:
    """A checkpoint and its network, every part checked. Raises PolicyError."""
    path = find_checkpoint(path)
    try:
        config = _config(_json(path, "config"))
        contract = Contract.from_json(_json(path, "contract"))
        mine, said = (config.chunk, config.execute, config.history), (contract.chunk, contract.execute, contract.history)
        if mine != said:
            raise PolicyError(f"config.json has chunk, execute, history {mine}, contract.json {said}")
        stats = Stats.from_json(_json(path, "stats"), len(contract.joints) + contract.gripper, contract.chunk)
        fingerprint = _json(path, "fingerprint")
        if not isinstance(fingerprint, dict):
            raise PolicyError("fingerprint.json holds no table")
        checkpoint = Checkpoint(config, contract, stats, fingerprint)
        with torch.device("meta"):
            expected = checkpoint.network().state_dict()
        weights = load_tensors(path / "weights.safetensors", {k: v.shape for k, v in expected.items()})
    except PolicyError as error:
        raise PolicyError(f"checkpoint {path}: {error}") from None
    network = checkpoint.network()
    network.load_state_dict(weights)
    return checkpoint, network.eval()


def load_tensors(file: Path, expected: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """A safetensors file that holds exactly the `expected` names and shapes, float and finite. Raises PolicyError."""
    try:
        found = load_file(file)
    except FileNotFoundError:
        raise PolicyError(f"{file.name} is missing") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise PolicyError(f"{file.name} is damaged ({error})") from None
    if found.keys() != expected.keys():
        missing, extra = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
        raise PolicyError(f"{file.name} does not fit config.json: missing {missing[:3] or 'nothing'}, unknown {extra[:3] or 'nothing'}")
    for name, tensor in found.items():
        if tensor.shape != expected[name]:
            raise PolicyError(f"{file.name}: {name} has shape {tuple(tensor.shape)}, config.json asks for {tuple(expected[name])}")
        if not tensor.is_floating_point() or not torch.isfinite(tensor).all():
            raise PolicyError(f"{file.name}: {name} holds values that are not finite numbers")
    return found


def find_checkpoint(path: Path) -> Path:
    """The folder itself, or the newest checkpoint of a run folder. Raises PolicyError."""
    if (path / "checkpoints").is_dir():
        found = checkpoints(path)
        if found:
            return found[-1]
        raise PolicyError(f"{path} holds no finished checkpoint yet")
    if not path.is_dir():
        raise PolicyError(f"there is no checkpoint folder {path}")
    if not (path / "config.json").exists():
        raise PolicyError(f"{path} is no checkpoint: it has no config.json")
    return path


def checkpoints(run: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    return sorted(p for p in (run / "checkpoints").glob("[0-9]*") if p.is_dir())


def plain(value: Any) -> Any:
    """JSON values, Enums by their names."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return value.name if isinstance(value, Enum) else value


def _config(table: Any) -> PolicyConfig:
    if not isinstance(table, dict) or table.get("format") != FORMAT:
        given = table.get("format") if isinstance(table, dict) else None
        raise PolicyError(f"config.json has format {given!r}, this version reads {FORMAT}")
    try:
        merged = OmegaConf.merge(OmegaConf.structured(PolicyConfig), OmegaConf.create({"policy": table["policy"]}).policy)
        config = OmegaConf.to_object(merged)
    except (KeyError, ValueError, OmegaConfBaseException) as error:
        raise PolicyError(f"config.json: {str(error).splitlines()[0]}") from None
    assert isinstance(config, PolicyConfig)
    return config


def _json(path: Path, name: str) -> Any:
    try:
        return json.loads((path / f"{name}.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PolicyError(f"{name}.json is missing") from None
    except (OSError, ValueError) as error:
        raise PolicyError(f"{name}.json is damaged ({error})") from None


def _sync(file: Path) -> None:
    with open(file, "rb") as f:
        os.fsync(f.fileno())
