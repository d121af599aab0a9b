"""A baseline as a policy that any robot can be given: numpy, one observation at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hardware.api import ActionChunk, Observation
from policies.peers.checkpoint import Peer, load_peer
from policies.peers.grey import greyed
from policies.peers.kind import PICTURE, STATE


class PeerPolicy:
    """Implements `hardware.api.Policy`. The same observations since `reset` give the same actions, drawn ones (diffusion) too."""

    def __init__(self, peer: Peer, network: Any) -> None:
        self.contract, self.fingerprint, self.masked = peer.contract, dict(peer.fingerprint), peer.masked
        self._network = network.eval().requires_grad_(False)
        self._before, self._after = peer.processors()
        self._history = peer.config.type != "act"
        self._device = torch.device(peer.config.device)
        self._past: list[dict[str, Tensor]] = []
        self._asked = 0

    def reset(self, instruction: str) -> None:
        """Forgets the history."""
        self._past, self._asked = [], 0
        self._network.reset()

    @torch.inference_mode()
    def predict(self, observation: Observation) -> ActionChunk:
        """The next actions. Raises PolicyError where the observation is not what the contract says."""
        self.contract.check_observation(observation)
        present = self._tensors(observation)
        if not self._past:
            self._past = [present] * self.contract.history
        self._past = [*self._past[1:], present]
        if self._history:
            batch = {name: torch.stack([past[name] for past in self._past])[None] for name in present}  # (1, C, ...)
        else:
            batch = {name: value[None] for name, value in present.items()}
        with torch.random.fork_rng(devices=[self._device] if self._device.type == "cuda" else []):
            torch.manual_seed(self._asked)
            chunk = self._after(self._network.predict_action_chunk(self._before(batch)))
        self._asked += 1
        actions = chunk[0].double().cpu().numpy()  # (K, A)
        n = len(self.contract.joints)
        return ActionChunk(actions[:, :n], np.clip(actions[:, n:], 0.0, 1.0))

    def _tensors(self, observation: Observation) -> dict[str, Tensor]:
        state = np.concatenate([observation.qpos, observation.gripper]).astype(np.float32)
        found = {STATE: torch.from_numpy(state)}  # (A,)
        for camera in self.contract.cameras:
            image = observation.images[camera]
            if self.masked:
                image = greyed(image, observation.masks[camera])
            found[PICTURE + camera] = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float() / 255  # (3, H, W)
        return found


def open_peer(path: Path, device: str = "cpu") -> PeerPolicy:
    """The policy of a checkpoint folder. Raises PolicyError."""
    return PeerPolicy(*load_peer(path, device))
