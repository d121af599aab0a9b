"""All axes at mild, medium and strong, as the side camera sees them: `python -m sim.variation.sheet axes.png`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from assets.graspable import Graspable
from assets.toys import Part, Toy
from hardware.api import Action
from sim.camera import SIDE, Camera
from sim.disturbed import open_robot
from sim.errors import SceneError
from sim.scene import SceneConfig
from sim.variation import AXES, STRENGTHS, Variation, vary
from sim.variation.maskfault import PERIOD

TILE, GAP, LABEL, HEAD, SHEETS = 128, 4, 92, 20, 2
"""Of the sheet [px]; tiles are what a policy sees; the rows stand in this many columns."""
PAPER, INK, FAINT, RIM = (255, 255, 255), (40, 40, 40), (120, 118, 114), (255, 0, 200)
NUMBERS: dict[str, Callable[[Variation], str]] = {
    "mass": lambda made: f"mass x {made.mass:.2f}",
    "friction": lambda made: f"friction x {made.friction:.2f}",
    "delay": lambda made: f"{1000 * made.delay // 20} ms late",
    "action_noise": lambda made: f"± {made.action_noise:.3f} rad",
}
"""Axes that no picture shows: for them the sheet says what is drawn."""
_WHOLE = Camera("whole", (1.45, 0.95, 1.35), (0.27, 0.0, 0.28), (0, 0, 1), 34.0)
MOMENTS = {"mask_drop", "mask_wrong"}
"""Axes that show at times only: for them the sheet waits, and says how often."""
_TOY = Toy((Part("cylinder", (0.024, 0.045)), Part("cuboid", (0.012, 0.012, 0.03), (0.022, 0.0, -0.012))), name="example", colour="red")


def sheet(thing: Graspable = _TOY, seed: int = 4) -> Image.Image:
    """A row for each axis and a tile for each strength, the mask outlined."""
    rows = -(-len(AXES) // SHEETS)
    width = LABEL + len(STRENGTHS) * (TILE + GAP) + 3 * GAP
    page = Image.new("RGB", (SHEETS * width, HEAD + rows * (TILE + GAP)), PAPER)
    draw, font, bold = ImageDraw.Draw(page), ImageFont.load_default(11), ImageFont.load_default(13)
    for half in range(SHEETS):
        for column, strength in enumerate(STRENGTHS):
            draw.text((half * width + LABEL + column * (TILE + GAP) + TILE / 2, 3), strength, INK, bold, anchor="ma")
    for k, axis in enumerate(AXES.values()):
        x, y = k // rows * width, HEAD + k % rows * (TILE + GAP)
        name = axis.name if bold.getlength(axis.name) <= LABEL else axis.name.replace("_", "\n")
        draw.multiline_text((x + GAP, y + 4), name, INK, bold, spacing=2)
        draw.multiline_text((x + GAP, y + 24 + 15 * name.count("\n")), _wrapped(axis.says, font, LABEL - 2 * GAP), FAINT, font, spacing=2)
        for column, strength in enumerate(STRENGTHS.values()):
            page.paste(tile(axis.name, strength, thing, seed), (x + LABEL + column * (TILE + GAP), y))
    return page


def tile(axis: str, strength: float, thing: Graspable, seed: int) -> Image.Image:
    """What the side camera sees at the start of a trial, the mask outlined; the whole arm where that is what matters."""
    variation = vary(axis, strength, seed)
    with open_robot(SceneConfig(thing, cameras=(SIDE, _WHOLE), size=TILE, variation=variation)) as robot:
        robot.place(np.array([0.0, 0.0]), np.random.default_rng(seed), upright=True)
        if axis == "start":
            return _outlined(robot.picture(_WHOLE.name), robot.mask(_WHOLE.name))
        seen = robot.observe()
        for _ in range(PERIOD if axis in MOMENTS else 0):
            if not np.array_equal(seen.masks[SIDE.name], robot.mask(SIDE.name)):
                break
            robot.command(Action(robot.qpos, np.ones(1)))
            seen = robot.observe()
    picture = _outlined(seen.images[SIDE.name], seen.masks[SIDE.name])
    if axis in MOMENTS:
        return _captioned(picture, f"{50 * strength:.0f} % of the time")
    return _captioned(picture, NUMBERS[axis](variation)) if axis in NUMBERS else picture


def _outlined(picture: np.ndarray, mask: np.ndarray) -> Image.Image:
    """A picture with the rim of its mask in a colour that no toy has."""
    rims, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return Image.fromarray(cv2.drawContours(picture.copy(), rims, -1, RIM, 1))


def _captioned(picture: Image.Image, text: str) -> Image.Image:
    ImageDraw.Draw(picture).text((TILE / 2, TILE - 7), text, INK, ImageFont.load_default(12), anchor="ms")
    return picture


def _wrapped(text: str, font, width: float) -> str:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        lines = [*lines[:-1], longer] if font.getlength(longer) <= width else [*lines, word]
    return "\n".join(lines)


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1].endswith(".png"):
        sys.exit("one file name is needed, as in: python -m sim.variation.sheet axes.png")
    try:
        sheet().quantize(256, dither=Image.Dither.NONE).save(Path(sys.argv[1]), optimize=True)
    except (OSError, SceneError) as error:
        sys.exit(str(error))
