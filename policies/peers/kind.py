"""Which of LeRobot's policies, with which settings, for which robot and cameras."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

from policies.config import PEERS
from policies.contract import Contract
from policies.errors import PolicyError

STATE, ACTION, PICTURE = "observation.state", "action", "observation.images."
"""LeRobot's names of what a policy is given and gives; a camera's name follows the last."""
_OURS = {
    "device": "device=",
    "temporal_ensemble_coeff": "cezanne eval ensemble=",
    **dict.fromkeys(("input_features", "output_features"), "the data set"),
    **dict.fromkeys(("pretrained_path", "pretrained_revision", "use_peft"), "nothing here: a baseline is trained from its beginning"),
    **dict.fromkeys(("push_to_hub", "repo_id", "private", "tags", "license"), "nothing here: no hub is asked"),
    **dict.fromkeys(("compile_model", "use_amp"), "nothing here: a baseline is trained and run in float32, as it is written"),
}
"""Settings of LeRobot's that something else decides."""


@contextmanager
def quietly() -> Iterator[None]:
    """LeRobot speaks a page about FFmpeg as it is imported, and at every device that it chooses."""
    logger = logging.getLogger("lerobot")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def config_of(peer: str, settings: Mapping[str, Any], contract: Contract, device: str) -> Any:
    """LeRobot's configuration, an ACTConfig or a DiffusionConfig.

    Args:
        peer: act or diffusion.
        settings: by LeRobot's names; what is not said is as LeRobot has it.
        contract: which pictures (3, H, W), how many joints and gripper values.
        device: torch's name of it.

    Raises:
        PolicyError: LeRobot is missing, does not know a setting, or refuses its value.
    """
    kind = _kind(peer)
    known = {field.name for field in fields(kind)}
    for name in settings:
        if name in _OURS:
            raise PolicyError(f"lerobot.{name} is decided by {_OURS[name]}")
        if name not in known:
            from conf import nearest

            raise PolicyError(f"lerobot:{peer} has no setting {name!r}{nearest(name, sorted(known))}")
    if not isinstance(settings.get("n_obs_steps", 1), int) or settings.get("n_obs_steps", 1) < 1:
        raise PolicyError(f"lerobot.n_obs_steps={settings['n_obs_steps']} must be a whole number of at least 1")
    import draccus
    from lerobot.configs.types import FeatureType, PolicyFeature

    width = len(contract.joints) + contract.gripper
    pictures = {PICTURE + camera: PolicyFeature(FeatureType.VISUAL, (3, *contract.size)) for camera in contract.cameras}
    try:
        with quietly():
            config = draccus.decode(kind, {**settings, "device": device, "push_to_hub": False})
            config.input_features = {STATE: PolicyFeature(FeatureType.STATE, (width,)), **pictures}
            config.output_features = {ACTION: PolicyFeature(FeatureType.ACTION, (width,))}
            config.validate_features()
    except Exception as error:  # draccus and LeRobot have a dozen kinds of their own for a value that will not do
        said = " ".join(str(error).split())
        raise PolicyError(f"lerobot:{peer} refuses its settings: {said[:300]}") from error
    return config


def network_of(config: Any) -> Any:
    """LeRobot's policy with fresh weights; the backbone's come from torchvision where the configuration names some. Raises PolicyError."""
    if config.type == "act":
        from lerobot.policies.act.modeling_act import ACTPolicy as Policy
    else:
        from lerobot.policies.diffusion.modeling_diffusion import DiffusionPolicy as Policy
    try:
        with quietly():
            return Policy(config).to(config.device)
    except OSError as error:  # urllib's errors are such
        named = config.pretrained_backbone_weights
        raise PolicyError(
            f"the weights {named} cannot be fetched ({error}): put their file into the folder hub/checkpoints of TORCH_HOME, "
            "or begin without them: lerobot.pretrained_backbone_weights=null"
        ) from error
    except (ValueError, TypeError, RuntimeError, AssertionError, AttributeError, KeyError) as error:
        raise PolicyError(f"lerobot:{config.type} cannot be built with these settings: {' '.join(str(error).split())[:300]}") from error


def contract_for(config: Any, contract: Contract) -> Contract:
    """The robot and cameras of `contract`, with how much this policy predicts, does of it, and remembers."""
    ahead = config.chunk_size if config.type == "act" else config.n_action_steps
    return contract.with_policy(ahead, config.n_action_steps, config.n_obs_steps)


def deltas_of(config: Any, execute: int) -> tuple[list[int], list[int]]:
    """Steps from now to the observations and to the actions of a sample, ascending.

    Our loop looks every `execute` steps, so observations are as far apart; actions are where LeRobot has them.
    """
    seen = [k * execute for k in range(1 - config.n_obs_steps, 1)]
    return seen, list(config.action_delta_indices)


def settings_of(config: Any) -> dict[str, Any]:
    """What `config_of` makes the same configuration of, as JSON values."""
    import draccus

    told: dict[str, Any] = json.loads(json.dumps(draccus.encode(config)))
    return {name: value for name, value in told.items() if name not in _OURS and name != "type"}


def _kind(peer: str) -> Any:
    if not peer or peer not in PEERS:
        raise PolicyError(f"LeRobot's {peer!r} is no baseline here; known: {', '.join(filter(None, PEERS))}")
    try:
        with quietly():
            from lerobot.policies.act.configuration_act import ACTConfig
            from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig

            if peer == "diffusion":
                import diffusers  # noqa: F401  # LeRobot asks for it only when the network is made
    except ImportError as error:
        raise PolicyError(f"LeRobot's policies need more packages ({error}): pip install 'cezanne[baselines]'") from None
    return ACTConfig if peer == "act" else DiffusionConfig
