"""Pictures and videos for people: outlined masks, strips, sheets, MP4."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from imageio_ffmpeg import get_ffmpeg_exe
from PIL import Image, ImageDraw, ImageFont

from episodes.errors import EpisodeError

OUTLINE = (0, 235, 255)
"""Of masks, RGB: a colour that neither toys nor the table have."""
INK, PAPER, RIM = (40, 40, 40), (255, 255, 255), (0, 0, 0)


def lacking() -> str:
    """Why films cannot be written here, one line; empty where they can. Servers may be without OpenCV or ffmpeg (docs/servers.md)."""
    try:
        cv2.resize  # noqa: B018  a stand-in of a bundle says here what is missing
        get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        return str(error)
    return ""


def enlarge(image: np.ndarray, height: int) -> np.ndarray:
    """A picture (H, W, 3) brought to `height` pixels, the sides in proportion."""
    width = max(1, round(image.shape[1] * height / image.shape[0]))
    how = cv2.INTER_AREA if height < image.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=how))


def draw_mask(image: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int] = OUTLINE) -> np.ndarray:
    """The picture with a line around a mask, (H, W, 3) u8. The mask (h, w) may be smaller than the picture: it is smoothed."""
    height, width = image.shape[:2]
    soft = cv2.resize(np.ascontiguousarray(mask, np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    if mask.shape != (height, width):
        soft = cv2.GaussianBlur(soft, (0, 0), 0.4 * height / mask.shape[0])
    away = np.asarray(cv2.distanceTransform((soft <= 0.5).astype(np.uint8), cv2.DIST_L2, 5))  # from the mask [px]
    line = max(1.6, height / 170)
    drawn = image.astype(np.float32)
    for paint, reach in ((RIM, line + 1), (colour, line)) if height > 256 else ((colour, line),):
        cover = np.where(away > 0, np.clip(reach + 1 - away, 0, 1), 0)[..., None]  # nothing of the object is covered
        drawn += cover * (np.array(paint, np.float32) - drawn)
    return drawn.round().astype(np.uint8)


def filmstrip(
    frames: Sequence[np.ndarray] | np.ndarray,
    masks: Sequence[np.ndarray] | np.ndarray | None = None,
    labels: Sequence[str] = (),
    height: int | None = None,
) -> np.ndarray:
    """Pictures in a row on white, (H, W, 3) u8: masks outlined where given, a label above each, all of one height."""
    return sheet([frames], None if masks is None else [masks], columns=labels, height=height)


def sheet(
    frames: Sequence[Sequence[np.ndarray] | np.ndarray],
    masks: Sequence[Sequence[np.ndarray] | np.ndarray] | None = None,
    *,
    columns: Sequence[str] = (),
    rows: Sequence[str] = (),
    caption: str = "",
    height: int | None = None,
) -> np.ndarray:
    """Pictures in rows on white, (H, W, 3) u8; labels above the columns, beside the rows, a caption below."""
    if not frames or not len(frames[0]) or len({len(row) for row in frames}) != 1:
        raise EpisodeError(f"a sheet needs rows of equally many pictures, got {[len(row) for row in frames]}")
    high = height or frames[0][0].shape[0]
    cells = [[enlarge(picture, high) for picture in row] for row in frames]
    if masks is not None:
        cells = [[draw_mask(c, m) for c, m in zip(row, of, strict=True)] for row, of in zip(cells, masks, strict=True)]
    wide = max(cell.shape[1] for row in cells for cell in row)
    gap, margin = max(2, high // 40), max(6, high // 12)
    size = max(11, high // 11)
    left = margin + (2 * size if rows else 0)
    top = margin + (round(1.5 * size) if columns else 0)
    bottom = margin + (2 * size if caption else 0)
    page = Image.new("RGB", (left + len(cells[0]) * (wide + gap) - gap + margin, top + len(cells) * (high + gap) - gap + bottom), PAPER)
    pen = ImageDraw.Draw(page)
    for i, row in enumerate(cells):
        y = top + i * (high + gap)
        if rows:
            _upright(page, rows[i], (margin + size // 2, y + high // 2), size)
        for k, cell in enumerate(row):
            page.paste(Image.fromarray(cell), (left + k * (wide + gap) + (wide - cell.shape[1]) // 2, y))
    for k, label in enumerate(columns):
        pen.text((left + k * (wide + gap) + wide // 2, top - size // 2), label, INK, _font(size), anchor="ms")
    if caption:
        pen.text((left, page.height - margin), caption, INK, _font(size), anchor="ls")
    return np.asarray(page)


def panel(width: int, height: int, texts: Sequence[tuple[int, str]], bar: float | None = None) -> np.ndarray:
    """A dark strip, (H, W, 3) u8, with texts at their x [px] and, at its right end, a bar filled from 0 to 1."""
    page = Image.new("RGB", (width, height), (24, 24, 24))
    pen = ImageDraw.Draw(page)
    size = round(0.5 * height)
    for x, text in texts:
        pen.text((x, height // 2), text, (235, 235, 235), _font(size), anchor="lm")
    if bar is not None:
        x0, x1, y0, y1 = round(0.86 * width), width - height // 2, height // 3, height - height // 3
        pen.rectangle((x0, y0, x1, y1), outline=(150, 150, 150))
        pen.rectangle((x0, y0, x0 + round((x1 - x0) * float(np.clip(bar, 0, 1))), y1), fill=(150, 150, 150))
    return np.asarray(page)


def write_video(path: str | Path, frames: Iterable[np.ndarray], fps: float) -> None:
    """Writes pictures of one size, (H, W, 3) u8 each, as an MP4 (H.264) that browsers play. Raises EpisodeError."""
    encoder: subprocess.Popen[bytes] | None = None
    shape = None
    try:
        for frame in frames:
            even = np.pad(frame, [(0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)], mode="edge")  # as H.264 wants it
            if encoder is None:
                shape = even.shape
                encoder = _encoder(Path(path), shape[1], shape[0], fps)
            if even.shape != shape:
                raise EpisodeError(f"pictures of a video are of one size, got {even.shape} after {shape}")
            assert encoder.stdin is not None
            encoder.stdin.write(even.tobytes())
    except BrokenPipeError:
        pass  # the encoder gave up: its exit code and its last line say why
    finally:
        said = encoder.communicate()[1].decode(errors="replace").split("\n") if encoder else []
    if encoder is None:
        raise EpisodeError(f"a video needs at least one picture; {path} was not written")
    if encoder.returncode:
        why = [line.strip() for line in said if line.strip()]
        raise EpisodeError(f"cannot write {path}: {why[-1] if why else f'ffmpeg ended with exit code {encoder.returncode}'}")


def _encoder(path: Path, width: int, height: int, fps: float) -> subprocess.Popen[bytes]:
    """ffmpeg, waiting for RGB pictures on its standard input."""
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps:g}", "-i", "-"]
    target = [
        "-an",
        "-c:v",
        "libx264",
        "-preset",
        "veryfast",
        "-crf",
        "20",
        "-pix_fmt",
        "yuv420p",
        "-movflags",
        "+faststart",
        "-threads",
        "2",
    ]
    command = [get_ffmpeg_exe(), "-loglevel", "error", "-y", *source, *target, "-f", "mp4", f"file:{path}"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def write_picture(path: str | Path, image: np.ndarray) -> None:
    """Writes a picture (H, W, 3) u8 in the format that the path's suffix names. Raises EpisodeError."""
    try:
        Image.fromarray(image).save(path)
    except (OSError, ValueError) as error:
        raise EpisodeError(f"cannot write {path}: {error}") from error


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _upright(page: Image.Image, text: str, middle: tuple[int, int], size: int) -> None:
    """Text that reads from bottom to top."""
    width = round(_font(size).getlength(text)) + 4
    strip = Image.new("RGB", (width, 2 * size), PAPER)
    ImageDraw.Draw(strip).text((width // 2, size), text, INK, _font(size), anchor="mm")
    turned = strip.rotate(90, expand=True)
    page.paste(turned, (middle[0] - turned.width // 2, middle[1] - turned.height // 2))
