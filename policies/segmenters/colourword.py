"""Words for colours: which one a text holds, and which pixels one would call so. Every pixel has the name of its nearest CSS colour."""

from __future__ import annotations

import re
from functools import cache

import cv2
import numpy as np
from PIL import ImageColor

FAMILIES: dict[str, str] = {
    "red": "red crimson firebrick darkred indianred maroon tomato #5a0c0c",
    "orange": "orange darkorange coral orangered",
    "yellow": "yellow gold goldenrod darkgoldenrod khaki olive",
    "green": "green lime limegreen forestgreen darkgreen seagreen mediumseagreen olivedrab yellowgreen springgreen lightgreen #2f6650",
    "cyan": "cyan turquoise teal darkcyan lightseagreen darkturquoise aquamarine",
    "blue": "blue navy royalblue mediumblue dodgerblue cornflowerblue steelblue deepskyblue midnightblue darkblue skyblue",
    "purple": "purple indigo darkviolet mediumpurple blueviolet darkorchid rebeccapurple darkmagenta orchid",
    "pink": "pink hotpink deeppink lightpink magenta palevioletred mediumvioletred",
    "brown": "brown saddlebrown sienna chocolate peru",
    "beige": "beige tan burlywood wheat bisque sandybrown",
    "white": "white whitesmoke snow",
    "grey": "gray silver darkgray dimgray lightgray slategray",
    "black": "black #1c1c1c",
}
"""The CSS colours that go by each word."""
_ALIASES = {"gray": "grey", "silver": "grey", "violet": "purple", "magenta": "pink", "turquoise": "cyan", "teal": "cyan", "tan": "beige"}
_BROWN = "#8b4513 #6b3a1e #5a2d14"
"""CSS calls a strong red "brown"; these are what people do."""
_LIGHTNESS = 0.5
"""How much a difference of lightness counts beside one of colour: shaded red is red."""


def colour_of(text: str) -> str | None:
    """The family that a text names first, "the red mug" -> "red"; None where it names none. Other CSS names count for their family."""
    for word in re.findall(r"[a-z]+", text.lower()):
        word = _ALIASES.get(word, word)
        if word in FAMILIES:
            return word
        for family, names in FAMILIES.items():
            if word in names.split():
                return family
    return None


def named(image: np.ndarray, family: str) -> np.ndarray:
    """Pixels of a picture (H, W, 3) u8 that one would call so, (H, W) bool."""
    red, green, blue = np.moveaxis(image.astype(np.intp) >> 3, 2, 0)
    return _names()[red, green, blue] == list(FAMILIES).index(family)


@cache
def _names() -> np.ndarray:
    """Number of the family of each colour, five bits a channel, (32, 32, 32) u8."""
    prototypes, family = [], []
    for k, (word, names) in enumerate(FAMILIES.items()):
        listed = [name for name in names.split() if name != "brown"] + (_BROWN.split() if word == "brown" else [])
        prototypes += [ImageColor.getrgb(name)[:3] for name in listed]
        family += [k] * len(listed)
    steps = (np.arange(32) * 8 + 4).astype(np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    known = _lab(np.array(prototypes, np.uint8)[:, None])[:, 0]
    nearest = [np.square(part - known).sum(axis=-1).argmin(axis=1) for part in np.array_split(_lab(cube), 32)]
    return np.array(family, np.uint8)[np.concatenate(nearest)].reshape(32, 32, 32)


def _lab(colours: np.ndarray) -> np.ndarray:
    """CIELAB of (N, 1, 3) u8, lightness damped, (N, 1, 3) f32."""
    lab = cv2.cvtColor(colours.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return lab * np.array([_LIGHTNESS, 1, 1], np.float32)
