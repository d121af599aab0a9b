"""First frames and instructions as unit vectors, by name. A temperature and a diversity say something within one kind only."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from augment.errors import AugmentError

KINDS = ("auto", "classic", "dinov2+siglip")
NETWORKS = {"dinov2": "vit_large_patch14_reg4_dinov2.lvd142m", "siglip": "vit_so400m_patch14_siglip_224"}
"""timm's names of the two that Prismatic calls dinosiglip-224px, the natural reading of the paper."""
_SIDE = 64
_WORDS = 512


def open_features(kind: str, weights: str = "") -> tuple[str, Callable[[np.ndarray], np.ndarray]]:
    """The name of what is used, and pictures (N, H, W, 3) u8 to unit vectors (N, D) float32.

    Args:
        kind: `classic` needs nothing. `dinov2+siglip` needs `dinov2.safetensors` and `siglip.safetensors`. `auto`: these where they are
            there, else classic.
        weights: the folder of those files.

    Raises:
        AugmentError: an unknown kind, or weights that are not there or do not fit; it says which file to put where.
    """
    if kind not in KINDS:
        raise AugmentError(f"features={kind}; known: {', '.join(KINDS)}")
    files = {name: Path(weights or ".") / f"{name}.safetensors" for name in NETWORKS}
    there = bool(weights) and all(file.exists() for file in files.values())
    if kind == "classic" or (kind == "auto" and not there):
        return "classic", classic
    for name, file in files.items():
        if not file.exists():
            raise AugmentError(
                f"features=dinov2+siglip needs {file}: timm's weights of {NETWORKS[name]}, as .safetensors; say weights=FOLDER, "
                "or features=classic, which needs none"
            )
    return "dinov2+siglip", _networks(files)


def classic(pictures: np.ndarray) -> np.ndarray:
    """Colours, edges and layout, without any learning: (N, H, W, 3) u8 to (N, D) float32 of unit length.

    Three parts of equal weight, each of unit length: square roots of histograms of Lab colours in 4 x 4 blocks, histograms of the
    directions of gradients in 8 x 8 blocks, and the picture at 8 x 8 pixels. None is centred: pictures of one scene have cosines near 1.
    """
    if pictures.ndim != 4 or pictures.shape[-1] != 3 or pictures.dtype != np.uint8:
        raise AugmentError(f"pictures must be (N, H, W, 3) uint8, got {pictures.dtype} {pictures.shape}")
    out = [np.concatenate([_unit(part) for part in _parts(picture)]) for picture in pictures]
    return (np.stack(out) / np.sqrt(3)).astype(np.float32) if out else np.zeros((0, 0), np.float32)


def words(instructions: Sequence[str]) -> np.ndarray:
    """Instructions as counts of their words and of three letters in a row, hashed: (N, 512) float32 of unit length."""
    table = np.zeros((len(instructions), _WORDS), np.float32)
    for row, text in zip(table, instructions, strict=True):
        said = f" {' '.join(text.lower().split())} "
        for piece in (*said.split(), *(said[k : k + 3] for k in range(len(said) - 2))):
            row[zlib.crc32(piece.encode()) % _WORDS] += 1
        row[0] += not row.any()
    return table / np.linalg.norm(table, axis=1, keepdims=True)


def _parts(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    small = cv2.resize(picture, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    lab = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2LAB), np.uint8)
    level = (lab >> 5).reshape(4, 16, 4, 16, 3).transpose(0, 2, 4, 1, 3).reshape(48, -1).astype(np.int64)  # 8 levels in 4 x 4 x 3 blocks
    colours = np.bincount((np.arange(48)[:, None] * 8 + level).ravel(), minlength=384)
    grey = lab[..., 0].astype(np.float32)
    dx, dy = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    strength, angle = np.hypot(dx, dy), np.arctan2(dy, dx) % np.pi
    rows, columns = np.indices(grey.shape) // 8
    place = ((rows * 8 + columns) * 9 + np.minimum((angle * 9 / np.pi).astype(np.int64), 8)).ravel()
    edges = np.bincount(place, weights=strength.ravel(), minlength=576).reshape(64, 9)
    layout = cv2.resize(small, (8, 8), interpolation=cv2.INTER_AREA).astype(np.float64)
    return np.sqrt(colours), np.sqrt(edges).ravel(), layout.ravel()


def _unit(x: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(x)
    return x / length if length > 1e-9 else np.full(x.shape, 1 / np.sqrt(x.size))  # a picture of one colour has no edges


def _networks(files: dict[str, Path]) -> Callable[[np.ndarray], np.ndarray]:
    import timm
    import torch
    from timm.data import resolve_model_data_config

    networks = []
    for name, file in files.items():
        network = timm.create_model(NETWORKS[name], pretrained=False, num_classes=0, img_size=224).eval().requires_grad_(False)
        load_weights(network, file, NETWORKS[name])
        networks.append((network, resolve_model_data_config(network)))

    @torch.inference_mode()
    def extract(pictures: np.ndarray) -> np.ndarray:
        rows = []
        for first in range(0, len(pictures), 32):
            batch = [cv2.resize(p, (224, 224), interpolation=cv2.INTER_CUBIC) for p in pictures[first : first + 32]]
            x = torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2).float() / 255
            parts = []
            for network, config in networks:
                mean, std = (torch.tensor(config[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
                parts.append(torch.nn.functional.normalize(network((x - mean) / std), dim=1))
            rows.append(torch.nn.functional.normalize(torch.cat(parts, 1), dim=1))
        return torch.cat(rows).numpy()

    return extract


def load_weights(network: Any, file: Path, name: str) -> None:
    """Loads a timm vision transformer's weights, made for any size of pictures: embeddings of places are resampled (DINOv2's: 518 px).

    Raises AugmentError, naming the network, for a file that is none of its, or lacks some of its weights.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from timm.models.vision_transformer import checkpoint_filter_fn

    try:
        given = checkpoint_filter_fn(load_file(file), network)
        missing = set(network.state_dict()) - set(given)
        network.load_state_dict(given, strict=False)
    except (OSError, RuntimeError, ValueError, KeyError, SafetensorError) as error:
        raise AugmentError(f"{file} does not hold weights of {name} ({' '.join(str(error).split())[:120]})") from None
    if missing:
        raise AugmentError(f"{file} lacks {len(missing)} of the weights of {name}, the first {min(missing)}")
