"""The colours of a surface, whatever they come from: pictures, vertices, faces or materials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import trimesh
from PIL import Image
from scipy.spatial import KDTree
from trimesh.visual import ColorVisuals, TextureVisuals

NEUTRAL = (0.72, 0.66, 0.56)
SAMPLES = 300_000
PIXELS = 1024
"""Longest side of a picture that colours are taken from; more cannot be seen on an object."""
STAND_IN = 2
"""A picture of no more pixels a side is the reader's, for a material that is not there."""
ALIKE = 6.0
"""Standard deviation of colours that are one colour, of 255."""


@dataclass(frozen=True)
class Paint:
    """Colours at points of a surface."""

    points: np.ndarray
    """(n, 3) [m]."""
    colours: np.ndarray
    """RGB from 0 to 1, (n, 3)."""

    @property
    def plain(self) -> tuple[float, float, float] | None:
        """The one colour of all of it; None where it has several."""
        if 255 * float(self.colours.std(axis=0).max()) > ALIKE:
            return None
        r, g, b = (float(v) for v in self.colours.mean(axis=0))
        return r, g, b

    def at(self, points: np.ndarray) -> np.ndarray:
        """The colours nearest to points (m, 3), RGB from 0 to 1, (m, 3)."""
        near, which = KDTree(self.points).query(points, k=min(3, len(self.points)))
        near, which = near.reshape(len(points), -1), which.reshape(len(points), -1)
        share = 1 / (near + 1e-5) ** 2
        return (self.colours[which] * (share / share.sum(axis=1, keepdims=True))[..., None]).sum(axis=1)


def paint_of(pieces: Sequence[trimesh.Trimesh], *, samples: int = SAMPLES) -> Paint:
    """Looks at the pieces of a mesh at points spread over their surface, the same ones each time."""
    rng = np.random.default_rng(0)
    area = sum(piece.area for piece in pieces)
    points, colours = [], []
    for piece in pieces:
        n = int(np.ceil(samples * piece.area / area)) if area > 0 else 0
        if n == 0:
            continue
        share = np.cumsum(piece.area_faces)
        face = np.searchsorted(share, rng.uniform(0, share[-1], n)).clip(max=len(piece.faces) - 1)
        u, v = rng.uniform(size=(2, n))
        turn = u + v > 1
        u, v = np.where(turn, 1 - u, u), np.where(turn, 1 - v, v)
        weights = np.stack([1 - u - v, u, v], axis=1)
        points.append((piece.triangles[face] * weights[..., None]).sum(axis=1))
        try:
            colours.append(_colours(piece, face, weights))
        except Exception:  # a broken material is no reason to refuse a shape
            colours.append(np.tile(NEUTRAL, (n, 1)))
    return Paint(np.concatenate(points), np.concatenate(colours).clip(0, 1))


def texture_of(pieces: Sequence[trimesh.Trimesh]) -> tuple[np.ndarray, Image.Image] | None:
    """Where all of a mesh lies in one picture: the places of its vertices in it, (n, 2), and the picture; None where that is not so."""
    if len(pieces) != 1 or not isinstance(pieces[0].visual, TextureVisuals):
        return None
    uv, picture = pieces[0].visual.uv, picture_of(pieces[0].visual.material)
    if uv is None or picture is None or len(uv) != len(pieces[0].vertices) or not np.isfinite(uv).all():
        return None
    return np.asarray(uv, float), picture


def _colours(piece: trimesh.Trimesh, face: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """RGB from 0 to 1 on faces (n,) at barycentric weights (n, 3)."""
    visual = piece.visual
    corners = piece.faces[face]
    if isinstance(visual, TextureVisuals):
        picture = picture_of(visual.material)
        if picture is None or visual.uv is None:
            return np.tile(_tint(visual.material, plain=True), (len(face), 1))
        u, v = (np.asarray(visual.uv, float)[corners] * weights[..., None]).sum(axis=1).T
        pixels = np.asarray(picture, np.float64) / 255
        rows, columns = pixels.shape[:2]
        return pixels[((1 - v % 1) * rows).astype(int) % rows, ((u % 1) * columns).astype(int) % columns]
    if isinstance(visual, ColorVisuals) and visual.kind == "face":
        return np.asarray(visual.face_colors)[face, :3] / 255
    if isinstance(visual, ColorVisuals) and visual.kind == "vertex":
        return (np.asarray(visual.vertex_colors)[corners, :3] / 255 * weights[..., None]).sum(axis=1)
    return np.tile(NEUTRAL, (len(face), 1))


def picture_of(material: Any) -> Image.Image | None:
    """What a material's colours are, small and without transparency; None where it has no picture."""
    image = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    if image is None or max(image.size) <= STAND_IN:
        return None
    image.draft("RGB", (PIXELS, PIXELS)) if image.format == "JPEG" else None
    image = image.convert("RGB")
    image.thumbnail((PIXELS, PIXELS), Image.Resampling.BOX)
    tint = _tint(material, plain=False)
    return image if min(tint) > 0.999 else Image.fromarray((np.asarray(image) * tint).astype(np.uint8))


def _tint(material: Any, *, plain: bool) -> tuple[float, float, float]:
    """The colour of a material, or what its picture is multiplied by."""
    if hasattr(material, "baseColorFactor"):
        factor = material.baseColorFactor
        if factor is None:
            return NEUTRAL if plain else (1.0, 1.0, 1.0)
    elif plain and material is not None and "kd" in {str(k).lower() for k in getattr(material, "kwargs", {}) or {}}:
        factor = material.diffuse
    else:
        return NEUTRAL if plain else (1.0, 1.0, 1.0)
    rgb = np.asarray(factor, float)[:3]
    rgb = rgb / 255 if rgb.max() > 1 else rgb
    return float(rgb[0]), float(rgb[1]), float(rgb[2])
