"""What can be configured: schemas for Hydra, without torch, so that `--help` is quick."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from policies.errors import PolicyError


class Pooling(Enum):
    """How the tokens of a picture become one vector. The names are what a person types."""

    det = "det"
    """Detection pooling: only patches that the mask touches, attending only to each other, then their mean."""
    det_masked = "det_masked"
    """All patches attend to each other; the mean is over those that the mask touches. Masking is in the mean alone."""
    box = "box"
    """Detection pooling by the box around the mask, as from a detector without a segmenter."""
    crop = "crop"
    """Mean of all patches of a crop around the mask, resized; the box around the mask says where it was."""
    channel = "channel"
    """Mean of all patches, with the mask as a fourth channel."""
    mean = "mean"
    """Mean of all patches; sees no mask."""
    cls = "cls"
    """A learned token that attends to all patches; sees no mask."""
    attention = "attention"
    """A learned query over the output of all patches; sees no mask."""
    keypoints = "keypoints"
    """No transformer: convolutions over the whole picture, then where each channel is brightest (spatial softmax); sees no mask."""
    keypoints_channel = "keypoints_channel"
    """The same, with the mask as a fourth channel."""


class Masking(Enum):
    """What is done inside the patches that detection pooling keeps, by the mask or by its box."""

    patch = "patch"
    """Nothing, as in the paper: masking stops at the patch border."""
    pixel = "pixel"
    """Pixels outside the mask are set to 0 (after normalisation) and the mask becomes a fourth channel: thin objects need it."""
    edge = "edge"
    """As pixel, and a fifth channel is 1 on the mask's border (its outermost pixels)."""
    distance = "distance"
    """As pixel, but the fourth channel is the distance from the mask's border, in patches: 1 is a patch or more inside, -1 outside."""


class Rule(Enum):
    """Which patches are the object's, and how much each counts in the mean of det, det_masked and box; the others ignore it."""

    any = "any"
    """Those with at least one pixel of it, all alike, as in the paper."""
    majority = "majority"
    """Those of which it fills half or more, all alike; where there are none, the fullest."""
    soft = "soft"
    """Those with at least one pixel of it, each by its share of such pixels."""


class Actions(Enum):
    """What the network predicts. Outside, targets are always absolute."""

    absolute = "absolute"
    """Joint targets."""
    relative = "relative"
    """Joint targets minus the present joint positions."""


class Head(Enum):
    """How the trunk's vector becomes a chunk of actions."""

    l1 = "l1"
    """Regression: the mean absolute error is minimised."""
    flow = "flow"
    """Flow matching: a velocity field carries noise to actions; the mean squared error of the velocity is minimised."""


class Tune(Enum):
    """What of a pretrained backbone is trained."""

    all = "all"
    """Everything."""
    none = "none"
    """Nothing: it is frozen."""
    last = "last"
    """The last `tune_blocks` blocks and the norm after them."""
    lora = "lora"
    """Low-rank additions to the attention's matrices (Hu et al. 2022); the rest is frozen."""


class Precision(Enum):
    """Of the encoder's matrix products in training; everything else, and acting, is float32."""

    auto = "auto"
    """bfloat16 where the device multiplies it faster: GPUs, and CPUs with AVX512-BF16."""
    float32 = "float32"
    bfloat16 = "bfloat16"


class Tracker(Enum):
    """Where the log goes besides `log.jsonl`."""

    tensorboard = "tensorboard"
    """A folder of events beside it."""
    wandb = "wandb"
    """The same, and Weights & Biases; WANDB_MODE=offline keeps it in the run folder."""


class Recolouring(Enum):
    """Published photometric sets, by the names of `augment.photometric.SETS`."""

    none = "none"
    octo = "octo"
    openvla = "openvla"
    pi0 = "pi0"
    lerobot = "lerobot"


class Without(Enum):
    """A shape that no toy of a selection may hold a part of."""

    none = "none"
    """Any shape is welcome."""
    sphere = "sphere"
    cuboid = "cuboid"
    cylinder = "cylinder"
    ring = "ring"


def require(ok: bool, message: str) -> None:
    """Raises PolicyError with `message` unless `ok`."""
    if not ok:
        raise PolicyError(message)


def require_positive(config: object, *names: str) -> None:
    """Raises PolicyError unless each named field is above zero."""
    for name in names:
        value = getattr(config, name)
        require(value > 0, f"{name}={value} must be above 0")


def require_not_negative(config: object, *names: str) -> None:
    """Raises PolicyError where a named field is below zero."""
    for name in names:
        value = getattr(config, name)
        require(value >= 0, f"{name}={value} must be at least 0")


def require_range(config: object, low: float, high: float, *names: str) -> None:
    """Raises PolicyError unless each named field lies in [low, high]."""
    for name in names:
        value = getattr(config, name)
        require(low <= value <= high, f"{name}={value} must lie in {low:g} to {high:g}")


@dataclass
class EncoderConfig:
    """A vision transformer and its pooling."""

    pooling: Pooling = Pooling.det
    """How the tokens of a picture become one vector."""
    masking: Masking = Masking.pixel
    """What is done inside the kept patches of det and box; the others ignore it."""
    rule: Rule = Rule.any
    """Which patches are the object's, for det, det_masked and box; the others ignore it."""
    silhouette: bool = True
    """Whether box, centre, size and direction of the mask (of its box, for box and crop) join the pooled vector of det, det_masked, box
    and crop; the others ignore it."""
    patch: int = 8
    """Side of a patch [px]; must divide the pictures, and for crop the crops of 64 px."""
    dim: int = 128
    """Width of a token; a multiple of 4 and of `heads`."""
    layers: int = 4
    """Transformer blocks."""
    heads: int = 4
    """Attention heads."""
    cap: int = 48
    """Most object patches used of a picture: a random subset in training, a fixed one in use; 0 uses all."""
    backbone: str = ""
    """A pretrained vision transformer of timm's, as in vit_base_patch14_reg4_dinov2.lvd142m; empty: from scratch. It decides patch, dim,
    layers and heads."""
    tune: Tune = Tune.all
    """What of the backbone is trained: all, none, last or lora."""
    tune_blocks: int = 2
    """Of tune=last."""
    rank: int = 16
    """Of tune=lora."""

    def __post_init__(self) -> None:
        require_positive(self, "patch", "dim", "layers", "heads", "tune_blocks", "rank")
        require_not_negative(self, "cap")
        require(self.dim % 4 == 0, f"dim={self.dim} must be a multiple of 4 (sine and cosine of rows and columns)")
        require(
            self.silhouette or self.pooling is not Pooling.crop, "silhouette=false with pooling=crop: nothing would say where the crop was"
        )
        require(self.dim % self.heads == 0, f"dim={self.dim} must be a multiple of heads={self.heads}")


@dataclass
class PolicyConfig:
    """The policy network."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    """What turns pictures into vectors."""
    width: int = 512
    """Width of the trunk."""
    blocks: int = 3
    """Residual MLP blocks of the trunk; 0 leaves the history's blocks alone with the work."""
    history: int = 1
    """Observations a prediction rests on, `execute` steps apart, the present one included."""
    history_layers: int = 2
    """Transformer blocks over the history; unused when history is 1."""
    history_heads: int = 8
    """Attention heads of these blocks."""
    history_ratio: int = 2
    """Width of their MLPs, in widths of the trunk."""
    chunk: int = 16
    """Actions predicted at once [control steps]."""
    execute: int = 8
    """Actions of a chunk carried out before the next observation [control steps]."""
    actions: Actions = Actions.relative
    """What the network predicts."""
    head: Head = Head.l1
    """How it predicts."""
    flow_blocks: int = 3
    """Residual MLP blocks of the velocity field of head=flow."""
    flow_steps: int = 10
    """Of Euler's method with head=flow, each time that it acts."""

    def __post_init__(self) -> None:
        require_positive(self, "width", "history", "history_layers", "history_heads", "history_ratio")
        require_positive(self, "chunk", "execute", "flow_blocks", "flow_steps")
        require_not_negative(self, "blocks")
        require(self.width % 8 == 0, f"width={self.width} must be a multiple of 8")
        fits = self.history == 1 or self.width % self.history_heads == 0
        require(fits, f"width={self.width} must be a multiple of history_heads={self.history_heads} when history is above 1")
        require(self.execute <= self.chunk, f"execute={self.execute} must be at most chunk={self.chunk}")


PEERS = ("", "act", "diffusion")
"""What `TrainConfig.peer` may be: our own network, or one of LeRobot's policies."""


@dataclass
class Selection:
    """Which demonstrations of a data set are trained on, so that one data set serves many studies."""

    toys: int = 0
    """The first n toys, by their numbers, that fit the rest of the selection; 0: all of them."""
    demos: int = 0
    """Demonstrations, spread evenly over the toys; fewer are always among the more; 0: all of them."""
    without: Without = Without.none
    """Only toys that hold no part of this shape."""
    parts: int = 0
    """Only toys of exactly so many parts; 0: of any number."""

    def __post_init__(self) -> None:
        require_not_negative(self, "toys", "demos", "parts")


@dataclass
class TrainConfig:
    """How a policy is trained."""

    data: str = "data/toys"
    """Dataset folder, as `cezanne collect` writes it."""
    mixture: str = ""
    """A file of data sets and their weights, instead of `data`: see docs/mixtures.md."""
    balance: bool = True
    """Whether a weight of the mixture counts for each step of its data set (so that 1 everywhere is all steps alike), or for all of it."""
    out: str = "runs/train"
    """Run folder: checkpoints, log, TensorBoard events, cache."""
    select: Selection = field(default_factory=Selection)
    """Which demonstrations of the data set are trained on; all of them unless said."""
    resume: bool = False
    """Continue the run in `out` where it stopped; starts one when there is none."""
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    """The network."""
    peer: str = ""
    """A policy of LeRobot's instead of the network, act or diffusion; policy=lerobot:act and its like choose it with its settings."""
    lerobot: dict[str, Any] = field(default_factory=dict)
    """Settings of the peer by LeRobot's own names, as in lerobot.dim_model=256."""
    masked: bool = False
    """Of a peer: whether everything but the object is grey in its pictures; a peer sees no mask otherwise."""
    steps: int = 6000
    """Optimiser steps; the schedule spans them."""
    minutes: float = 0.0
    """Training time [min] instead of `steps` when above 0; the schedule spans it, and the summary says how many steps were made."""
    seed: int = 0
    """Seed of initial weights, batches and augmentation."""
    batch: int = 64
    """Samples a step, of all processes together."""
    accumulate: int = 1
    """Passes that a process makes over its share of a batch, for less memory; the step is the same."""
    lr: float = 1e-3
    """Peak learning rate; cosine to 1 % of it."""
    backbone_lr: float = 0.1
    """Share of it for the weights of a pretrained backbone."""
    weights: str = ""
    """Where the backbone's weights are: a safetensors file, or a folder that holds model.safetensors; empty: they come from the hub."""
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
    """Most object patches of a picture in training, drawn anew each time (PatchDropout, Liu et al. 2023); 0: as in use."""
    colour: bool = True
    """Random gain, bias and channel order of colours, per sample; a third of one colour, where the mask tells the object's shape."""
    photometric: Recolouring = Recolouring.none
    """A published photometric set, drawn anew for every sample, before `colour`: octo, openvla, pi0 or lerobot. For poolings that see whole
    pictures; det, box and crop keep only the object's patches: for these, `cezanne augment chain=[photometric]`."""
    before_closing: float = 0.3
    """Share of samples drawn only from moments with the gripper open or opening; the rest is drawn from all."""
    frame_stride: int = 2
    """Every n-th step of an episode is a training sample; the first one alternates by episode."""
    holdout: float = 0.04
    """Share of toys whose episodes are kept for validation; 0 for none."""
    grasp_weight: float = 0.2
    """Weight of the auxiliary loss (predict the grasp point), where the data says it; 0 for none."""
    validate_every: int = 500
    """Steps between validations."""
    rollout_every: int = 0
    """Steps between trials of the averaged weights in simulation; 0: never."""
    rollouts: int = 20
    """Trials each time."""
    rollout_suite: str = "toys"
    """What is tried, by the names of `cezanne eval`; toys are such as training never sees."""
    rollout_workers: int = 2
    """Processes that try it, while training waits."""
    log_every: int = 50
    """Steps between log entries."""
    checkpoint_steps: int = 0
    """Steps between checkpoints; 0 for by time only."""
    checkpoint_seconds: float = 60.0
    """Time between checkpoints [s]; 0 for by steps only."""
    threads: int = 0
    """Threads of the CPU; 0 for all."""
    loader_workers: int = 0
    """Threads that put batches together ahead of training; the batches are the same with any number. 0: between steps, best where training
    is on the CPU too; with a GPU, 2 to 4 a process."""
    device: str = "auto"
    """auto, cpu or cuda."""
    precision: Precision = Precision.auto
    """Of the encoder's matrix products in training."""
    compile: bool = False
    """Whether torch.compile makes code for MLPs and trunk, which takes the first step a minute; packed attention stays as it is."""
    fsdp: bool = False
    """Whether several processes share out the weights (FSDP), each holding a part; otherwise each holds them all (DDP)."""
    tracker: Tracker = Tracker.tensorboard
    """Where the log goes besides log.jsonl: tensorboard, or wandb too."""
    progress: bool = True
    """Show a progress bar on stderr."""

    def __post_init__(self) -> None:
        require(self.peer in PEERS, f"peer={self.peer!r}; known: {', '.join(filter(None, PEERS))}, or empty for our own network")
        require(bool(self.peer) or not (self.lerobot or self.masked), "lerobot.*= and masked= belong to policy=lerobot:act and its like")
        require(not self.mixture or self.select == Selection(), "select belongs to one data set; a mixture names several")
        require_positive(self, "steps", "batch", "lr", "backbone_lr", "clip", "frame_stride", "validate_every", "log_every")
        require_positive(self, "accumulate", "rollouts", "rollout_workers")
        require_not_negative(self, "rollout_every", "loader_workers")
        require(self.batch % self.accumulate == 0, f"accumulate={self.accumulate} does not divide batch={self.batch}")
        require_not_negative(self, "seed", "minutes", "warmup", "weight_decay", "proprio_noise", "grasp_weight", "threads", "patches")
        require_not_negative(self, "checkpoint_steps", "checkpoint_seconds")
        require_range(self, 0.0, 1.0, "before_closing")
        require_range(self, 0.0, 0.5, "holdout")
        require(0 <= self.ema < 1, f"ema={self.ema} must be at least 0 and below 1")
        require(self.device in ("auto", "cpu", "cuda"), f"device={self.device!r} must be auto, cpu or cuda")
        aligned = self.policy.history == 1 or self.policy.execute % self.frame_stride == 0
        require(aligned, f"execute={self.policy.execute} must be a multiple of frame_stride={self.frame_stride} when history is above 1")
