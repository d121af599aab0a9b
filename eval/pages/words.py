"""What suites, objects, reasons and numbers are called on pages and in tables for people."""

from __future__ import annotations

import re

TITLES = {
    "toys": "Unseen toys",
    "household": "Household objects",
    "ycb": "YCB objects",
    "ycb65": "YCB, 65 that a jaw of 80 mm can take",
}
SAYS = {
    "success": "lifted and held",
    "slipped": "lifted, then lost",
    "unfinished": "in the hand when time ran out",
    "toppled": "toppled or pushed away",
    "never_closed": "gripper never closed",
    "missed": "closed beside it",
    "refused": "policy gave no valid action",
}


def suite_title(suite: str) -> str:
    """`ycb` is YCB objects; a suite without a title goes by its name."""
    return TITLES.get(suite, suite)


def says(reason: str) -> str:
    """Why a trial ended, in words."""
    return SAYS.get(reason, reason.replace("_", " "))


def plain(name: str) -> str:
    """The name of an object for people: `toy-7-00012` is toy 12, `005_tomato_soup_can` tomato soup can."""
    toy = re.fullmatch(r"toy-\d+-(\d+)", name)
    if toy:
        return f"toy {int(toy[1])}"
    ycb = re.fullmatch(r"\d{3}(?:-(\w))?_(.+)", name)  # one number may stand for several things, told apart by a letter
    return (f"{ycb[2]} {ycb[1] or ''}".strip() if ycb else name).replace("_", " ")


def arm_title(axis: str, strength: float) -> str:
    """An arm of a sweep: `control`, or `camera 0.5`."""
    return "control" if axis == "none" else f"{axis.replace('_', ' ')} {strength:g}"


def percent(share: float) -> str:
    """0.874 is 87."""
    return f"{100 * share:.0f}"


def points(share: float) -> str:
    """A difference of rates in points, signed, with a true minus: 0.034 is +3."""
    text = f"{100 * share:+.0f}"
    return "0" if text in ("+0", "-0") else text.replace("-", "\N{MINUS SIGN}")


def chance(p: float) -> str:
    """A p-value."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def minutes(seconds: float) -> str:
    """A time: 42 s, 3.5 min."""
    return f"{seconds:.0f} s" if seconds < 99 else f"{seconds / 60:.1f} min"
