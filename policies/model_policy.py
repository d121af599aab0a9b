"""A trained network as a policy that any robot can be given: numpy, one observation at a time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hardware.api import ActionChunk, Observation
from policies.checkpoint import find_checkpoint, load_checkpoint
from policies.contract import Contract
from policies.network import PolicyNetwork
from policies.peers.checkpoint import is_peer

if TYPE_CHECKING:
    from policies.peers.policy import PeerPolicy


class ModelPolicy:
    """Implements `hardware.api.Policy`. Each observation is encoded once and kept for as long as it is history."""

    def __init__(self, network: PolicyNetwork, contract: Contract, fingerprint: Mapping[str, object]) -> None:
        self.contract, self.fingerprint = contract, dict(fingerprint)
        self._network = network.eval().requires_grad_(False)
        self._device = next(network.parameters()).device
        self._past: list[tuple[Tensor, Tensor]] = []

    def reset(self, instruction: str) -> None:
        """Forgets the history."""
        self._past = []

    @torch.inference_mode()
    def predict(self, observation: Observation) -> ActionChunk:
        """The next actions. Raises PolicyError where the observation is not what the contract says."""
        contract = self.contract
        contract.check_observation(observation)
        images = np.stack([observation.images[c] for c in contract.cameras])  # (V, H, W, 3)
        masks = np.stack([observation.masks[c] for c in contract.cameras])  # (V, H, W)
        proprio = np.concatenate([observation.qpos, observation.gripper]).astype(np.float32)  # (A,)
        tensors = (torch.from_numpy(x).to(self._device) for x in (images, masks, proprio))
        seen, mask, present = next(tensors).permute(0, 3, 1, 2)[None], next(tensors)[None], next(tensors)
        views = self._network.encoder(seen, mask)[0]  # (V, D)
        if not self._past:
            self._past = [(views, present)] * contract.history
        self._past = [*self._past[1:], (views, present)]
        history = [torch.stack(x)[None] for x in zip(*self._past, strict=True)]  # (1, C, V, D), (1, C, A)
        actions = self._network.act(*history)[0].double().cpu().numpy()  # (K, A)
        n = len(contract.joints)
        return ActionChunk(actions[:, :n], np.clip(actions[:, n:], 0.0, 1.0))  # a NaN stays one, for the rollout to refuse


def load_policy(path: str | Path, device: str = "cpu") -> ModelPolicy | PeerPolicy:
    """The policy of a checkpoint folder, or of a run folder's newest checkpoint; also one of LeRobot's. Raises PolicyError."""
    path = find_checkpoint(Path(path))
    if is_peer(path):
        from policies.peers.policy import open_peer  # LeRobot takes seconds to import

        return open_peer(path, device)
    checkpoint, network = load_checkpoint(path)
    return ModelPolicy(network.to(device), checkpoint.contract, checkpoint.fingerprint)
