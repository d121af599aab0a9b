"""Pretrained vision transformers of timm's as encoders: the object's patches alone go through their blocks.

A backbone's own tokens (class token, registers) join the kept patches of each picture. Its patch embedding is that of our pixels, exactly:
its normalisation is folded into it, and the mask's channel begins at zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from policies.attention import Layout, pad, unpad
from policies.clspool import ClsPool
from policies.config import EncoderConfig, Pooling, Tune
from policies.encoder import Encoder
from policies.errors import PolicyError
from policies.form import FORMS
from policies.lora import Lora
from policies.patches import Patches, grid

WEIGHTS = "model.safetensors"


class PretrainedEncoder(Encoder):
    """An encoder with a backbone's blocks. New, it has random weights: `load_backbone` fills it, or a checkpoint does.

    Args:
        config: names the backbone; the sizes are the backbone's, as `resolve` writes them.
        cameras: number of cameras.
        size: height and width of the pictures [px].
    """

    def __init__(self, config: EncoderConfig, cameras: int, size: tuple[int, int]) -> None:
        super().__init__(replace(config, layers=1), cameras, size)
        model = _open(config.backbone, _pictures(config, size))
        if (found := _sizes(model)) != (said := (config.patch, config.dim, config.layers, config.heads)):
            raise PolicyError(f"backbone {config.backbone} has patch, dim, layers, heads {found}, the configuration says {said}")
        self.config = config
        self.blocks, self.norm, self.before = model.blocks, model.norm, model.norm_pre
        self.extra = nn.Parameter(torch.zeros(model.num_prefix_tokens, config.dim))
        self.classed = config.pooling is Pooling.cls and getattr(model, "cls_token", None) is not None
        self.rope: Any = getattr(model, "rope", None)
        self.rows_columns = grid(size, config.patch, self.form.keep)
        for block in self.blocks:
            if self.rope is not None:
                block.attn.num_prefix_tokens = 0  # our own tokens come last, and are not turned
            if config.tune is Tune.lora:
                block.attn.qkv, block.attn.proj = Lora(block.attn.qkv, config.rank), Lora(block.attn.proj, config.rank)
        with torch.no_grad():
            if not self.camera.is_meta:
                self.camera.zero_()  # what was pretrained knows no cameras
        self._freeze()

    def others(self, camera: Tensor) -> list[Tensor]:
        """The backbone's tokens, then the pooling's."""
        own = self.extra[1:] if self.classed else self.extra  # the pooling's token is the backbone's class token
        return [token.expand(len(camera), -1) for token in own] + super().others(camera)

    def think(self, x: Tensor, layout: Layout, patches: Patches) -> Tensor:
        """Tokens (N + filler, D) through all blocks, normalised."""
        rows = pad(self.before(x), layout)  # (R, D)
        turns = None if self.rope is None else pad(self._turns(x, patches), layout)
        outs = []
        for g in layout.groups:
            last = g.start + g.pictures * g.longest
            y = rows[g.start : last].view(g.pictures, g.longest, -1)  # (S, L, D)
            options: dict[str, Any] = {"attn_mask": g.mask}
            if turns is not None:
                options["rope"] = turns[g.start : last].view(g.pictures, 1, g.longest, -1)
            for block in self.blocks:
                y = block(y, **options)
            outs.append(self.norm(y).flatten(0, 1))
        if layout.filler:
            outs.append(outs[0].new_zeros(layout.filler, rows.shape[1]))
        return unpad(torch.cat(outs), layout)

    def pretrained(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Parameters that come from the backbone, by name, whether they are trained or not."""
        for name, parameter in self.named_parameters():
            known = name.split(".")[0] in ("embedding", "position", "blocks", "norm", "before", "extra")
            if known and ".down." not in name and ".up." not in name:
                yield name, parameter

    def _turns(self, x: Tensor, patches: Patches) -> Tensor:
        """Sines and cosines that turn queries and keys by the place of their patch, (N + filler, 2 D / H); others are not turned."""
        table = self.rope.get_embed(self.rows_columns)  # (G, 2 D / H)
        still = torch.cat([torch.zeros_like(table[:1, : table.shape[1] // 2]), torch.ones_like(table[:1, table.shape[1] // 2 :])], 1)
        return torch.cat([table[patches.index], still.expand(len(x) - len(patches.index), -1)])

    def _freeze(self) -> None:
        tune = self.config.tune
        if tune is Tune.all:
            return
        for _, parameter in self.pretrained():
            parameter.requires_grad_(False)
        self.camera.requires_grad_(False)  # a gradient for it would go through the whole backbone
        if isinstance(self.pooling, ClsPool):
            self.pooling.requires_grad_(False)
        if tune is Tune.last:
            for module in (*self.blocks[-self.config.tune_blocks :], self.norm):
                module.requires_grad_(True)


def resolve(config: EncoderConfig, size: tuple[int, int]) -> EncoderConfig:
    """The configuration with the sizes of the backbone it names. Raises PolicyError for one that is unknown or does not fit."""
    if not config.backbone:
        return config
    if FORMS[config.pooling].pool is None or FORMS[config.pooling].keep.value == "crop":
        raise PolicyError(f"backbone={config.backbone} with pooling={config.pooling.value}: it has no patches of its own in the picture")
    patch, dim, layers, heads = _sizes(_open(config.backbone, size, lenient=True))
    found = replace(config, patch=patch, dim=dim, layers=layers, heads=heads)
    try:
        grid(size, patch, FORMS[config.pooling].keep)
    except PolicyError:
        fits = patch * max(1, round(224 / patch))
        raise PolicyError(
            f"backbone {config.backbone} has patches of {patch} px, which do not divide pictures of {size[0]}x{size[1]} px: "
            f"collect with size={fits}"
        ) from None
    return found


def load_backbone(encoder: PretrainedEncoder, where: str, size: tuple[int, int]) -> None:
    """Fills an encoder with the backbone's published weights. Raises PolicyError, naming the file that is wanted, where they are not there.

    Args:
        encoder: is changed.
        where: a safetensors file, a folder with model.safetensors, or empty: the hub.
        size: of the pictures [px]; position embeddings are resampled to it.
    """
    name = encoder.config.backbone
    file = _file(name, where)
    try:
        model = _open(name, _pictures(encoder.config, size), file=file)
    except (RuntimeError, ValueError, KeyError, OSError) as error:
        raise PolicyError(f"{file} does not hold the weights of {name}: {str(error).splitlines()[0][:160]}") from error
    except Exception as error:  # safetensors has errors of its own
        raise PolicyError(f"{file} cannot be read: {type(error).__name__}: {str(error)[:160]}") from error
    _fill(encoder, model)


@torch.no_grad()
def _fill(encoder: PretrainedEncoder, model: Any) -> None:
    """Copies the weights of a timm model."""
    state = model.state_dict()
    own = {name: parameter for name, parameter in encoder.state_dict().items() if name.startswith(("blocks.", "norm."))}
    for name, parameter in own.items():
        parameter.copy_(state[name.replace(".base.", ".")] if ".down." not in name and ".up." not in name else parameter)
    if any(True for _ in encoder.before.parameters()):
        encoder.before.load_state_dict(model.norm_pre.state_dict())
    mean, std = (torch.tensor(model.pretrained_cfg[key]).view(1, 3, 1) for key in ("mean", "std"))
    projection = model.patch_embed.proj
    weight = projection.weight.flatten(2)  # (D, 3, p * p), for pixels (v / 255 - mean) / std; ours are 4 v / 255 - 2
    bias = projection.bias if projection.bias is not None else weight.new_zeros(len(weight))
    encoder.embedding.weight.zero_()
    encoder.embedding.weight[:, : weight[0].numel()] = (weight / (4 * std)).flatten(1)
    encoder.embedding.bias.copy_(bias + (weight * (0.5 - mean) / std).sum((1, 2)))
    count = model.num_prefix_tokens
    position = getattr(model, "pos_embed", None)
    tokens = [token[0] for token in (getattr(model, "cls_token", None), getattr(model, "reg_token", None)) if token is not None]
    if count:
        encoder.extra.copy_(torch.cat(tokens))
    if position is None:
        encoder.position.zero_()
    else:
        if position.shape[1] == count + len(encoder.position):  # of the prefix tokens too
            encoder.extra += position[0, :count]
        encoder.position.copy_(position[0, position.shape[1] - len(encoder.position) :])
    if encoder.classed:
        assert isinstance(encoder.pooling, ClsPool)
        encoder.pooling.cls.copy_(encoder.extra[:1].expand_as(encoder.pooling.cls))


def _open(name: str, size: tuple[int, int], *, file: Path | None = None, lenient: bool = False) -> Any:
    """The model; lenient: whatever the size of the pictures. Raises PolicyError for one that is unknown or of another kind."""
    import timm  # seconds

    options: dict[str, Any] = {"pretrained_cfg_overlay": {"file": str(file)}} if file else {}
    if not timm.is_model(name.split(".")[0]):
        near = timm.list_models(f"*{name.split('.')[0].split('_')[-1]}*")[:3]
        raise PolicyError(f"backbone={name!r} is no model of timm's{': try ' + ', '.join(near) if near else ''}")
    try:
        with torch.device("meta" if lenient else "cpu"):
            model = timm.create_model(
                name, pretrained=file is not None, num_classes=0, global_pool="", **({} if lenient else {"img_size": size}), **options
            )
    except (TypeError, AttributeError, RuntimeError) as error:
        if file:
            raise
        raise PolicyError(f"backbone={name!r} cannot be opened: {str(error)[:160]}") from error
    if not all(hasattr(model, part) for part in ("blocks", "norm", "norm_pre", "patch_embed", "num_prefix_tokens")):
        raise PolicyError(f"backbone={name!r} is no plain vision transformer (a {type(model).__name__})")
    return model


def _sizes(model: Any) -> tuple[int, int, int, int]:
    """Patch, dim, layers and heads."""
    return int(model.patch_embed.patch_size[0]), int(model.embed_dim), len(model.blocks), int(model.blocks[0].attn.num_heads)


def _pictures(config: EncoderConfig, size: tuple[int, int]) -> tuple[int, int]:
    rows, columns = grid(size, config.patch, FORMS[config.pooling].keep)
    return rows * config.patch, columns * config.patch


def _file(name: str, where: str) -> Path:
    """The safetensors file of a model. Nothing else is read: other formats may hold code."""
    import timm

    repo = timm.get_pretrained_cfg(name)
    repo_id = getattr(repo, "hf_hub_id", None) or f"timm/{name}"
    if where:
        path = Path(where) / WEIGHTS if Path(where).is_dir() else Path(where)
        if path.suffix != ".safetensors" or not path.is_file():
            raise PolicyError(f"weights={where}: {path} is not there; it is {WEIGHTS} of {repo_id} that is wanted")
        return path
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repo_id, WEIGHTS))
    except Exception as error:  # it has a dozen kinds of its own, of requests and of the system
        raise PolicyError(
            f"the weights of {name} are not here and the hub does not give them ({type(error).__name__}); "
            f"put {WEIGHTS} of {repo_id} into a folder and say weights=FOLDER"
        ) from error
