"""A baseline's checkpoint: LeRobot's own files, and ours that say for which robot it is. Safetensors and JSON, read as nothing else."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from policies.contract import Contract
from policies.errors import PolicyError
from policies.guard.sums import SUMS, check_sums, write_sums
from policies.guard.table import read_table
from policies.guard.tensors import read_header
from policies.peers.kind import ACTION, PICTURE, STATE, config_of, contract_for, network_of, quietly, settings_of

MARK = "peer.json"
"""The file that tells such a checkpoint from ours."""
FORMAT = 1
"""Version of the format."""
WEIGHTS = "model.safetensors"
STATS = "policy_preprocessor_step_3_normalizer_processor.safetensors"
"""Where LeRobot keeps what it normalises by."""
_FILES = {MARK, WEIGHTS, STATS, "config.json", "contract.json", "fingerprint.json", "training_state", "policy_preprocessor.json", SUMS}
_FILES |= {"policy_postprocessor.json", "policy_postprocessor_step_0_unnormalizer_processor.safetensors"}
"""All that there may be."""


@dataclass(frozen=True)
class Peer:
    """A baseline as stored."""

    config: Any
    """LeRobot's configuration."""
    contract: Contract
    stats: Mapping[str, Mapping[str, Tensor]]
    """What LeRobot normalises by: `observation.state`, `action` and the pictures; mean, std, min, max and quantiles of each."""
    masked: bool
    """Everything but the object is grey in its pictures."""
    fingerprint: Mapping[str, Any]
    """What made it."""

    def processors(self) -> tuple[Any, Any]:
        """LeRobot's: of observations, and of actions."""
        with quietly():
            from lerobot.policies.factory import make_pre_post_processors

            return make_pre_post_processors(self.config, dataset_stats=self.stats)  # pyright: ignore[reportArgumentType]


def save_peer(path: Path, peer: Peer, network: Any, train_state: Any) -> None:
    """Writes a folder under a temporary name and renames it: it is there in whole or not at all. Raises PolicyError.

    Args:
        path: of the folder.
        peer: all but the weights.
        network: LeRobot's policy.
        train_state: is called with the temporary folder and writes what resuming needs.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        network.save_pretrained(temporary)
        for processor in peer.processors():
            processor.save_pretrained(temporary)
        tables = {
            MARK: {"format": FORMAT, "peer": peer.config.type, "masked": peer.masked, "settings": settings_of(peer.config)},
            "contract.json": peer.contract.to_json(),
            "fingerprint.json": dict(peer.fingerprint),
        }
        for name, table in tables.items():
            (temporary / name).write_text(json.dumps(table, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        train_state(temporary)
        write_sums(temporary)
        for file in temporary.rglob("*"):
            if file.is_file():
                with open(file, "rb") as f:
                    os.fsync(f.fileno())
        if path.exists():
            shutil.rmtree(path)
        os.rename(temporary, path)
    except (OSError, SafetensorError, ValueError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise PolicyError(f"cannot write checkpoint {path}: {error}") from error


def is_peer(path: Path) -> bool:
    """Whether a checkpoint folder holds one of LeRobot's policies."""
    return (path / MARK).is_file()


def load_peer(path: Path, device: str = "cpu") -> tuple[Peer, Any]:
    """A baseline and its network, every part checked. Raises PolicyError."""
    try:
        if strangers := sorted(file.name for file in path.iterdir() if file.name not in _FILES):
            raise PolicyError(f"{strangers[0]} does not belong into it; nothing but {', '.join(sorted(_FILES))} does")
        told = _table(path, MARK)
        if told.get("format") != FORMAT or not isinstance(told.get("settings"), dict) or not isinstance(told.get("masked"), bool):
            raise PolicyError(f"{MARK} has format {told.get('format')!r} or lacks settings; this program reads {FORMAT}")
        contract = Contract.from_json(_table(path, "contract.json"))
        settings = {**told["settings"], "pretrained_backbone_weights": None}  # or they would be fetched to be overwritten
        config = config_of(str(told.get("peer")), settings, contract, device)
        ours = contract_for(config, contract)
        mine, said = (ours.chunk, ours.execute, ours.history), (contract.chunk, contract.execute, contract.history)
        if mine != said:
            raise PolicyError(f"{MARK} has chunk, execute, history {mine}, contract.json {said}")
        stats = _stats(_tensors(path, STATS), contract)
        network = network_of(config)
        network.load_state_dict(_fitting(_tensors(path, WEIGHTS), network.state_dict()))
        check_sums(path, (MARK, "contract.json", "fingerprint.json", STATS, WEIGHTS))
        return Peer(config, contract, stats, told["masked"], _table(path, "fingerprint.json")), network.eval()
    except PolicyError as error:
        raise PolicyError(f"checkpoint {path}: {error}") from None
    except OSError as error:
        raise PolicyError(f"checkpoint {path}: {error.strerror or error}") from None


def stats_of(exported: Any, cameras: tuple[str, ...]) -> dict[str, dict[str, Tensor]]:
    """What LeRobot counted of a data set, pictures as ImageNet's: that is how LeRobot trains by default."""
    with quietly():
        from lerobot.utils.constants import IMAGENET_STATS

    wanted = [STATE, ACTION, *(PICTURE + camera for camera in cameras)]
    found = {name: {key: torch.as_tensor(np.asarray(value)) for key, value in exported.meta.stats[name].items()} for name in wanted}
    for camera in cameras:
        found[PICTURE + camera] |= {key: torch.tensor(value) for key, value in IMAGENET_STATS.items()}
    return found


def _fitting(found: dict[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if found.keys() != expected.keys():
        missing, extra = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
        raise PolicyError(f"{WEIGHTS} does not fit {MARK}: missing {missing[:3] or 'nothing'}, unknown {extra[:3] or 'nothing'}")
    for name, tensor in found.items():
        if tensor.shape != expected[name].shape or tensor.dtype != expected[name].dtype:
            there, asked = (f"{x.dtype} {tuple(x.shape)}" for x in (tensor, expected[name]))
            raise PolicyError(f"{WEIGHTS}: {name} is {there}, {MARK} asks for {asked}")
        if not torch.isfinite(tensor).all():
            raise PolicyError(f"{WEIGHTS}: {name} holds values that are not finite numbers")
    return found


def _stats(flat: Mapping[str, Tensor], contract: Contract) -> dict[str, dict[str, Tensor]]:
    """The statistics by feature and kind. Raises PolicyError where they are not those of the contract."""
    width = len(contract.joints) + contract.gripper
    shapes = {STATE: (width,), ACTION: (width,), **{PICTURE + camera: (3, 1, 1) for camera in contract.cameras}}
    found: dict[str, dict[str, Tensor]] = {name: {} for name in shapes}
    for key, tensor in flat.items():
        name, _, kind = key.rpartition(".")
        if name not in shapes:
            raise PolicyError(f"{STATS} holds {name!r}; the contract knows {', '.join(shapes)}")
        if kind != "count" and tuple(tensor.shape) != shapes[name]:
            raise PolicyError(f"{STATS}: {key} has shape {tuple(tensor.shape)}, the contract asks for {shapes[name]}")
        if not torch.isfinite(tensor).all():
            raise PolicyError(f"{STATS}: {key} holds values that are not finite numbers")
        found[name][kind] = tensor
    for name, kinds in found.items():
        if lacking := {"mean", "std", "min", "max"} - kinds.keys():
            raise PolicyError(f"{STATS} lacks {sorted(lacking)[0]} of {name}")
    return found


def _tensors(path: Path, name: str) -> dict[str, Tensor]:
    read_header(path / name)
    try:
        return load_file(path / name)
    except (SafetensorError, OSError, ValueError) as error:
        raise PolicyError(f"{name} is damaged ({error})") from None


def _table(path: Path, name: str) -> dict[str, Any]:
    return read_table(path / name)
