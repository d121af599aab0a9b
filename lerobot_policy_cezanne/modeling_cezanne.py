"""LeRobot's policy around `policies.network.PolicyNetwork`: its loop trains it, its environments and robots are acted in."""

from __future__ import annotations

import copy
import platform
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import lerobot
import numpy as np
import torch
from lerobot.policies import PreTrainedPolicy
from lerobot.utils.constants import ACTION, OBS_IMAGES, OBS_STATE
from torch import Tensor

from lerobot_policy_cezanne.configuration_cezanne import CezanneConfig
from lerobot_policy_cezanne.folder import Stored, find_folder, read_config, read_folder, write_folder
from lerobot_policy_cezanne.recorded import Recorded, open_recorded
from policies.backbone import PretrainedEncoder, load_backbone, resolve
from policies.checkpoint import Checkpoint, plain
from policies.config import Head, PolicyConfig
from policies.errors import PolicyError
from policies.form import FORMS
from policies.head import draw_noise
from policies.jitter import draw_jitter
from policies.network import Batch
from policies.patches import Patches, cut, thin
from policies.schedule import paces, taken_over

MASK = "observation.mask."
"""Where an environment or a robot says which pixels are the target's: + CAMERA, (B, H, W)."""


class CezannePolicy(PreTrainedPolicy):
    """Made for a data set (`dataset_meta`, which LeRobot's training gives) or from what was `stored`. Raises PolicyError.

    B observations; V cameras; C moments of history; K actions of A = joints + gripper values a chunk. `network` is trained, `average`
    follows it and acts.
    """

    config_class = CezanneConfig  # type: ignore[assignment]
    name = "cezanne"  # type: ignore[assignment]
    updates: Tensor

    def __init__(self, config: CezanneConfig, dataset_stats: Any = None, dataset_meta: Any = None, stored: Stored | None = None) -> None:
        super().__init__(config)
        self.config = config
        self._recorded = None if dataset_meta is None else open_recorded(Path(dataset_meta.root), config.gripper)
        if stored is not None:
            self.checkpoint = _agreed(config, stored.checkpoint)
            self.average = self.checkpoint.network()
            self.average.load_state_dict(stored.average.state_dict())
            self.network = self.checkpoint.network()
            self.network.load_state_dict(dict(stored.trained))
            if self._recorded is not None:
                self.checkpoint.contract.check(self._recorded.contract)
        elif self._recorded is not None:
            self.checkpoint = _begun(config, self._recorded)
            self.network = self.checkpoint.network()
            if isinstance(self.network.encoder, PretrainedEncoder):
                load_backbone(self.network.encoder, config.weights, self.checkpoint.contract.size)
            self.average = copy.deepcopy(self.network)
        else:
            raise PolicyError(
                "a new policy needs a data set (lerobot-train --dataset.root=FOLDER); a trained one its folder (--policy.path=FOLDER)"
            )
        config.validate_features()
        self._check_features()
        self.average.requires_grad_(False)
        self.register_buffer("updates", torch.tensor(0.0 if stored is None else stored.updates))
        self.reset()

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        pretrained_name_or_path: str | Path,
        *,
        config: CezanneConfig | None = None,
        revision: str | None = None,
        dataset_stats: Any = None,
        dataset_meta: Any = None,
        **_: Any,
    ) -> CezannePolicy:
        """The policy of a folder, by LeRobot or by `cezanne train`, ready to act. Raises PolicyError."""
        path = find_folder(pretrained_name_or_path, revision)
        stored = read_folder(path)
        found = read_config(path, stored.checkpoint) if config is None else config
        policy = cls(_featured(found, stored.checkpoint), dataset_stats, dataset_meta, stored)
        return policy.to(found.device).eval()

    def _save_pretrained(self, save_directory: Path, state_dict: dict[str, Tensor] | None = None) -> None:
        write_folder(Path(save_directory), self.config, self.checkpoint, self.state_dict() if state_dict is None else state_dict)

    def get_optim_params(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """What is trained; a pretrained backbone at a share of the learning rate."""
        groups = paces(self.network, self.config.backbone_lr)
        return [{"params": group["params"], "lr": self.config.lr * group["share"]} for group in groups]

    # --- in training

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """The loss of a batch of LeRobot's, and its parts. Augmented while training; in evaluation it is that of the averaged weights."""
        network = self.network if self.training else self.average
        loss, grasp = network.loss(self._batch(batch))
        return loss + self.config.grasp_weight * grasp, {"action_loss": loss.item(), "grasp_loss": grasp.item()}

    @torch.no_grad()
    def update(self) -> None:
        """Moves the average; LeRobot calls it after every step of the optimiser."""
        share = taken_over(self.config.ema, int(self.updates))
        for mean, weight in zip(self.average.parameters(), self.network.parameters(), strict=True):
            if weight.requires_grad:
                mean.lerp_(weight, share)
        self.updates.add_(1).clamp_(max=1e6)

    def _batch(self, batch: Mapping[str, Tensor]) -> Batch:
        """A batch of LeRobot's as the network is trained with."""
        config, network = self.config, self.config.policy
        recorded, now = self._numbered(batch)
        rng = np.random.default_rng(int(torch.randint(2**62, ()))) if self.training else None  # LeRobot keeps the state of torch's
        images, masks, proprio = self._remembered(batch, recorded, now)
        device, (b, c, v) = proprio.device, images.shape[:3]
        if rng is not None and config.proprio_noise:
            spread = np.full(proprio.shape[-1], config.proprio_noise, np.float32)
            spread[len(self.checkpoint.contract.joints) :] *= 0.1
            proprio = proprio + torch.from_numpy(rng.standard_normal(proprio.shape, np.float32) * spread).to(device)
        form = FORMS[network.encoder.pooling]
        patches = self._cut(images.flatten(0, 1), masks.flatten(0, 1), rng)
        jitter = draw_jitter(rng, b, c * v, form.shaped).to(device) if rng is not None and config.colour else None
        targets = batch[ACTION].float()
        noise = draw_noise(rng, b, *targets.shape[1:]) if rng is not None and network.head is Head.flow else None
        grasp = torch.from_numpy(recorded.table.grasp[now])
        return Batch(
            patches,
            proprio,
            targets,
            torch.from_numpy(recorded.answered(now, network.chunk)).to(device),
            torch.nan_to_num(grasp).to(device),
            torch.isfinite(grasp).all(1).to(device),
            jitter,
            noise if noise is None else noise.to(device),
        )

    def _cut(self, images: Tensor, masks: Tensor, rng: np.random.Generator | None) -> Patches:
        """The kept patches of (S, V, 3, H, W) u8, a random few where that is enough."""
        encoder = self.config.policy.encoder
        keep = FORMS[encoder.pooling].keep
        camera = torch.arange(images.shape[1], device=images.device).repeat(len(images))
        patches = cut(images.flatten(0, 1), masks.flatten(0, 1), camera, encoder.patch, keep, encoder.rule, encoder.masking)
        if not keep.sparse:
            return patches
        if rng is None:
            return thin(patches, encoder.cap)
        return thin(patches, self.config.patches or encoder.cap, torch.from_numpy(rng.random(len(patches.index))).to(images.device))

    def _remembered(self, batch: Mapping[str, Tensor], recorded: Recorded, now: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures (B, C, V, 3, H, W) u8, masks (B, C, V, H, W) and proprioception (B, C, A)."""
        history, execute = self.config.policy.history, self.config.policy.execute
        moments = recorded.moments(now, history, execute)
        state = batch[OBS_STATE].float()
        images = torch.stack([_bytes(batch[f"{OBS_IMAGES}.{camera}"]) for camera in self.checkpoint.contract.cameras], -4)
        if history == 1:
            images, state = images[:, None], state[:, None]
        else:  # where LeRobot repeats the first frame of an episode, the first moment at which the policy would have been asked
            slot = torch.from_numpy(history - 1 - (now[:, None] - moments) // execute)
            row = torch.arange(len(slot))[:, None]
            images, state = images[row, slot], state[row, slot]
        return images, torch.from_numpy(recorded.seen(moments)).to(images.device), state

    def _numbered(self, batch: Mapping[str, Tensor]) -> tuple[Recorded, np.ndarray]:
        """The data set, and the numbers of a batch's frames in it, (B,)."""
        if self._recorded is None:
            raise PolicyError("no data set is open: training needs one (lerobot-train --dataset.root=FOLDER)")
        if "index" not in batch:
            raise PolicyError(f"the batch does not number its frames (index); it has {', '.join(batch)}")
        return self._recorded, batch["index"].reshape(-1).cpu().numpy()

    # --- in use

    def reset(self) -> None:
        """Forgets the history and the rest of the chunk."""
        self._past: list[tuple[Tensor, Tensor]] = []
        self._ahead: deque[Tensor] = deque()

    @torch.no_grad()
    def select_action(self, batch: dict[str, Tensor], **_: Any) -> Tensor:
        """The next actions (B, A): joint targets [rad], then the gripper, 0 closed to 1 open. Raises PolicyError."""
        if not self._ahead:
            self._ahead.extend(self.predict_action_chunk(batch)[:, : self.config.policy.execute].unbind(1))
        return self._ahead.popleft()

    @torch.no_grad()
    def predict_action_chunk(self, batch: dict[str, Tensor], **_: Any) -> Tensor:
        """The chunks (B, K, A) that follow B observations, which join the history. Raises PolicyError.

        Args:
            batch: `observation.images.CAMERA` (B, 3, H, W) in [0, 1], `observation.mask.CAMERA` (B, H, W), above 0.5 where the target is,
                and `observation.state` (B, A).
        """
        images, masks, present = self._present(batch)
        views = self.average.encoder(images, masks)  # (B, V, D)
        if not self._past or len(self._past[0][0]) != len(views):
            self._past = [(views, present)] * self.config.policy.history
        self._past = [*self._past[1:], (views, present)]
        actions = self.average.act(*(torch.stack(x, 1) for x in zip(*self._past, strict=True)))  # (B, K, A)
        joints = len(self.checkpoint.contract.joints)
        return torch.cat([actions[..., :joints], actions[..., joints:].clamp(0.0, 1.0)], -1)

    def _present(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures (B, V, 3, H, W) u8, masks (B, V, H, W) bool and proprioception (B, A). Raises PolicyError."""
        contract = self.checkpoint.contract
        height, width = contract.size
        state = self._taken(batch, OBS_STATE, (len(contract.joints) + contract.gripper,))
        images = [_bytes(self._taken(batch, f"{OBS_IMAGES}.{camera}", (3, height, width))) for camera in contract.cameras]
        masks = [self._taken(batch, MASK + camera, (height, width)) > 0.5 for camera in contract.cameras]
        return torch.stack(images, 1), torch.stack(masks, 1), state.float()

    def _taken(self, batch: Mapping[str, Tensor], name: str, shape: tuple[int, ...]) -> Tensor:
        value = batch.get(name)
        if value is None:
            there = ", ".join(key for key in batch if key.startswith("observation.")) or "nothing"
            raise PolicyError(f"the observation has no {name}; it has {there}")
        if tuple(value.shape[1:]) != shape:
            raise PolicyError(f"{name} has shape {tuple(value.shape[1:])}, the policy was trained with {shape}")
        return value

    def _check_features(self) -> None:
        """Raises PolicyError where what is given or asked for does not fit the contract, before the first step."""
        contract, config = self.checkpoint.contract, self.config
        (height, width), wide = contract.size, (len(contract.joints) + contract.gripper,)
        shapes = {OBS_STATE: wide, ACTION: wide, **{f"{OBS_IMAGES}.{camera}": (3, height, width) for camera in contract.cameras}}
        found = {**(config.input_features or {}), **(config.output_features or {})}
        for name, shape in shapes.items():
            if name not in found:
                raise PolicyError(f"the policy was trained with {name}; there are {', '.join(found)}")
            if tuple(found[name].shape) != shape:
                raise PolicyError(f"{name} has shape {tuple(found[name].shape)}, the policy was trained with {shape}")


def _bytes(picture: Tensor) -> Tensor:
    """A picture of LeRobot's, in [0, 1], as the bytes that it was."""
    return picture if picture.dtype == torch.uint8 else picture.mul(255).round().clamp(0, 255).to(torch.uint8)


def _begun(config: CezanneConfig, recorded: Recorded) -> Checkpoint:
    """What is to be trained on a data set; a pretrained backbone decides its own sizes."""
    if config.policy.encoder.backbone:
        config.policy = replace(config.policy, encoder=resolve(config.policy.encoder, recorded.contract.size))
    network = config.policy
    settings = {key: plain(value) for key, value in asdict(config).items() if key in _ours()}
    versions = {"lerobot": lerobot.__version__, "torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()}
    fingerprint = {"data": recorded.digest, "dataset": dict(recorded.made_by), "train": settings, "versions": versions}
    contract = recorded.contract.with_policy(network.chunk, network.execute, network.history)
    return Checkpoint(network, contract, recorded.stats(network), fingerprint)


def _ours() -> set[str]:
    """The settings that are none of LeRobot's."""
    return set(CezanneConfig.__annotations__) - {"format", "push_to_hub", "normalization_mapping"}


def _agreed(config: CezanneConfig, stored: Checkpoint) -> Checkpoint:
    """What was stored, with the settings that may differ in use. Raises PolicyError where another network is asked for."""
    asked, was = asdict(config.policy), asdict(stored.config)
    free = {"execute", "flow_steps"}
    if changed := [name for name in asked if asked[name] != was[name] and name not in free]:
        raise PolicyError(f"the policy was trained with another {', '.join(changed)}; only {' and '.join(sorted(free))} may be changed")
    network: PolicyConfig = config.policy
    return replace(stored, config=network, contract=stored.contract.with_policy(network.chunk, network.execute, network.history))


def _featured(config: CezanneConfig, checkpoint: Checkpoint) -> CezanneConfig:
    """With the features of the contract where none are said, as in a folder by `cezanne train`."""
    from lerobot.configs import FeatureType, PolicyFeature

    contract = checkpoint.contract
    wide = (len(contract.joints) + contract.gripper,)
    if not config.input_features:
        pictures = {f"{OBS_IMAGES}.{camera}": PolicyFeature(FeatureType.VISUAL, (3, *contract.size)) for camera in contract.cameras}
        config.input_features = {OBS_STATE: PolicyFeature(FeatureType.STATE, wide), **pictures}
    if not config.output_features:
        config.output_features = {ACTION: PolicyFeature(FeatureType.ACTION, wide)}
    return config
