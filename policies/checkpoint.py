"""A checkpoint is a folder of safetensors and JSON: nothing in it can name code to run."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from policies.config import EncoderConfig, PolicyConfig
from policies.contract import Contract
from policies.errors import PolicyError
from policies.guard.folder import CODE, check_folder, shown
from policies.guard.sums import check_sums, write_sums
from policies.guard.table import read_table
from policies.guard.tensors import Wanted, read_tensors
from policies.network import PolicyNetwork
from policies.stats import Stats

FORMAT = 1
"""Version of the format."""
LARGEST = {"patch": 256, "dim": 8192, "layers": 128, "heads": 128, "cap": 1 << 16, "tune_blocks": 128, "rank": 1024, "width": 1 << 14}
LARGEST |= {"blocks": 128, "history": 256, "history_layers": 64, "chunk": 1024, "execute": 1024, "flow_blocks": 128, "flow_steps": 1000}
"""Of the sizes in a config.json that is read: a network is built from them before its weights are looked at."""
BACKBONE = re.compile(r"\w{1,80}(\.\w{1,80})?", re.ASCII)
"""Names of timm's models; nothing else is looked up, no address and no path."""
TABLES = ("config.json", "contract.json", "stats.json", "fingerprint.json")


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
            (temporary / f"{name}.json").write_text(json.dumps(table, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        write_sums(temporary)
        for file in temporary.iterdir():
            _sync(file)
        if path.exists():
            shutil.rmtree(path)
        os.rename(temporary, path)
    except (OSError, SafetensorError, ValueError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise PolicyError(f"cannot write checkpoint {path}: {error}") from error


def load_checkpoint(path: Path) -> tuple[Checkpoint, PolicyNetwork]:
    """A checkpoint and its network, every part checked before the next one is read. Raises PolicyError."""
    path = find_checkpoint(path)
    try:
        checkpoint = _described(path)
        with torch.device("meta"):
            expected = checkpoint.network().state_dict()
        wanted = {name: Wanted(tuple(weight.shape), (weight.dtype,)) for name, weight in expected.items()}
        weights = read_tensors(path / "weights.safetensors", wanted, "config.json")
        check_sums(path, (*TABLES, "weights.safetensors"))
    except PolicyError as error:
        raise PolicyError(f"checkpoint {path}: {error}") from None
    network = checkpoint.network()
    network.load_state_dict(weights)
    return checkpoint, network.eval()


def load_tensors(file: Path, expected: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """A safetensors file of a checkpoint that holds exactly the `expected` names and shapes, float and finite. Raises PolicyError."""
    found = read_tensors(file, {name: Wanted(tuple(shape)) for name, shape in expected.items()}, "config.json")
    check_sums(file.parent, (file.name,))
    return found


def _described(path: Path) -> Checkpoint:
    """All but the weights."""
    check_folder(path)
    config = _config(read_table(path / "config.json"))
    contract = Contract.from_json(read_table(path / "contract.json"))
    mine, said = (config.chunk, config.execute, config.history), (contract.chunk, contract.execute, contract.history)
    if mine != said:
        raise PolicyError(f"config.json has chunk, execute, history {mine}, contract.json {said}")
    stats = Stats.from_json(read_table(path / "stats.json"), contract.joints, contract.gripper, contract.chunk)
    return Checkpoint(config, contract, stats, read_table(path / "fingerprint.json"))


def find_checkpoint(path: Path) -> Path:
    """The folder itself, or the newest checkpoint of a run folder. Raises PolicyError."""
    if (path / "checkpoints").is_dir():
        found = checkpoints(path)
        if found:
            return found[-1]
        raise PolicyError(f"{path} holds no finished checkpoint yet")
    if not path.is_dir():
        raise PolicyError(f"there is no checkpoint folder {path}")
    if not os.path.lexists(path / "config.json"):
        check = next((f.name for f in sorted(path.iterdir()) if f.suffix.lower() in CODE), None)
        hint = f"; {shown(check)} is of a kind that may run code, and not opened: save weights as safetensors" if check else ""
        raise PolicyError(f"{path} is no checkpoint: it has no config.json{hint}")
    return path


def checkpoints(run: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    return sorted((p for p in (run / "checkpoints").glob("[0-9]*") if p.name.isdecimal() and p.is_dir()), key=lambda p: int(p.name))


def plain(value: Any) -> Any:
    """JSON values, Enums by their names."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return value.name if isinstance(value, Enum) else value


def _config(table: Mapping[str, Any]) -> PolicyConfig:
    if (given := table.get("format")) != FORMAT or type(given) is not int:
        raise PolicyError(f"config.json has format {shown(repr(given))}, this version reads {FORMAT}")
    said = table.get("policy")
    if not isinstance(said, dict):
        raise PolicyError("config.json has no table 'policy'")
    encoder = said.get("encoder", {})
    if not isinstance(encoder, dict):
        raise PolicyError("config.json: encoder is no table")
    _check_values(said, PolicyConfig, " of policy")
    _check_values(encoder, EncoderConfig, " of policy.encoder")
    try:
        config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(PolicyConfig), OmegaConf.create(said)))
    except (ValueError, TypeError, OmegaConfBaseException) as error:
        where = f"{key}: " if (key := getattr(error, "full_key", None)) else ""
        raise PolicyError(f"config.json: {where}{shown(str(error).splitlines()[0], 300)}") from None
    assert isinstance(config, PolicyConfig)
    if config.encoder.backbone and not BACKBONE.fullmatch(config.encoder.backbone):
        raise PolicyError(
            f"config.json: backbone={shown(repr(config.encoder.backbone))} is no name of timm's; no address or path is opened"
        )
    return config


def _check_values(table: Mapping[str, Any], kind: type, where: str) -> None:
    """Raises PolicyError for keys that the configuration has not, what its fields cannot hold, and sizes beyond all use."""
    known = {field.name for field in fields(kind)}
    for name, value in table.items():
        if name not in known:
            raise PolicyError(f"config.json: unknown key {shown(repr(name))}{where}; a newer version may know it")
        if isinstance(value, list) or (isinstance(value, dict) and name != "encoder"):
            raise PolicyError(f"config.json: {name}{where} is no single value")
        if isinstance(value, str) and not (value.isprintable() and len(value) <= 200 and "${" not in value and "???" not in value):
            raise PolicyError(f"config.json: {name}={shown(repr(value))} is no plain word")
        if name in LARGEST and not (type(value) is int and value <= LARGEST[name]):
            raise PolicyError(f"config.json: {name}={shown(repr(value))}; a whole number, at most {LARGEST[name]}, is wanted")


def _sync(file: Path) -> None:
    with open(file, "rb") as f:
        os.fsync(f.fileno())
