"""What LeRobot's command line says of the policy: the names of `cezanne train`, after `--policy.`."""

from __future__ import annotations

from dataclasses import dataclass, field

from lerobot.configs import FeatureType, NormalizationMode, PreTrainedConfig
from lerobot.optim import AdamWConfig
from lerobot.utils.constants import ACTION, OBS_IMAGES, OBS_STATE

from lerobot_policy_cezanne.schedule import CezanneSchedule
from policies.checkpoint import FORMAT
from policies.config import PolicyConfig, require, require_not_negative, require_positive
from policies.errors import PolicyError


@PreTrainedConfig.register_subclass("cezanne")
@dataclass
class CezanneConfig(PreTrainedConfig):
    """`--policy.type=cezanne`. Written as a config.json that Cezanne reads too: `format` and `policy` are what it looks for."""

    format: int = FORMAT
    """Of the checkpoint."""
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    """The network: `--policy.policy.encoder.pooling=mean` is `policy.encoder.pooling=mean` of `cezanne train`."""
    gripper: int = 1
    """How many of the last values of state and action are the gripper's, in data sets that we did not export."""
    weights: str = ""
    """Where a pretrained backbone's weights are; empty: they come from the hub."""
    lr: float = 1e-3
    """Peak learning rate; cosine to 1 % of it."""
    backbone_lr: float = 0.1
    """Share of it for the weights of a pretrained backbone."""
    warmup: int = 200
    """Steps of linear warm-up, at most a tenth of the run."""
    weight_decay: float = 0.02
    """AdamW's weight decay."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    ema: float = 0.998
    """Decay of the averaged weights, which are the ones that act."""
    proprio_noise: float = 0.01
    """Standard deviation of noise on joint positions [rad], a tenth of it on the gripper. Targets stay where they are."""
    patches: int = 12
    """Most object patches of a picture in training, drawn anew each time; 0: as in use."""
    colour: bool = True
    """Random gain, bias and channel order of colours, per sample."""
    grasp_weight: float = 0.2
    """Weight of the auxiliary loss (predict the grasp point), where the data says it; 0 for none."""
    push_to_hub: bool = False  # type: ignore[assignment]
    normalization_mapping: dict[str, NormalizationMode] = field(
        default_factory=lambda: dict.fromkeys(("VISUAL", "STATE", "ACTION"), NormalizationMode.IDENTITY)
    )
    """Nothing: the network normalises by statistics of its own, which travel with the checkpoint."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.format == FORMAT, f"config.json has format {self.format!r}, this version reads {FORMAT}")
        require(
            all(mode is NormalizationMode.IDENTITY for mode in self.normalization_mapping.values()),
            "normalization_mapping must be IDENTITY: the network normalises by statistics of its own",
        )
        require_positive(self, "lr", "backbone_lr", "clip")
        require_not_negative(self, "gripper", "warmup", "weight_decay", "proprio_noise", "patches", "grasp_weight")
        require(0 <= self.ema < 1, f"ema={self.ema} must be at least 0 and below 1")
        self.n_obs_steps = self.policy.history

    @property
    def chunk_size(self) -> int:
        """Actions predicted at once, by LeRobot's name."""
        return self.policy.chunk

    @property
    def n_action_steps(self) -> int:
        """Actions of a chunk that are carried out, by LeRobot's name."""
        return self.policy.execute

    @property
    def observation_delta_indices(self) -> list[int] | None:
        """The moments of the history, the present last; None for the present alone."""
        if self.policy.history == 1:
            return None
        return [-self.policy.execute * k for k in range(self.policy.history - 1, -1, -1)]

    @property
    def action_delta_indices(self) -> list[int]:
        """The steps of a chunk."""
        return list(range(self.policy.chunk))

    @property
    def reward_delta_indices(self) -> None:
        """Rewards are not learnt from."""
        return None

    def get_optimizer_preset(self) -> AdamWConfig:
        """The optimiser of `cezanne train`."""
        return AdamWConfig(lr=self.lr, betas=(0.9, 0.98), weight_decay=self.weight_decay, grad_clip_norm=self.clip)

    def get_scheduler_preset(self) -> CezanneSchedule:
        """Its schedule."""
        return CezanneSchedule(num_warmup_steps=self.warmup)

    def validate_features(self) -> None:
        """Raises PolicyError where there is no picture, state or action to learn from."""
        there, wanted = {*(self.input_features or {}), *(self.output_features or {})}, {OBS_STATE, ACTION}
        if missing := sorted(wanted - there):
            raise PolicyError(f"the policy needs {' and '.join(missing)}; there are {', '.join(sorted(there)) or 'no features'}")
        pictures = [name for name, feature in (self.input_features or {}).items() if feature.type is FeatureType.VISUAL]
        if not any(name.startswith(f"{OBS_IMAGES}.") for name in pictures):
            raise PolicyError(f"the policy needs pictures {OBS_IMAGES}.CAMERA; there are {', '.join(pictures) or 'none'}")
