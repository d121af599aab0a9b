"""One point of a figure: two islands, what mends them, and the encoder that learns from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from eval.shortcuts.island import EDGE, Island, Task, island

ENCODERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "keypoints": ("policy=keypoints",),
        "attention": ("policy=attention", "policy.encoder.patch=16", "policy.encoder.dim=96", "policy.encoder.layers=3"),
        "detection": ("policy=det", "policy.encoder.patch=8", "policy.encoder.dim=96", "policy.encoder.layers=3"),
        "keypoints + mask": ("policy=keypoints", "policy.encoder.pooling=keypoints_channel"),
    }
)
"""By name, as overrides of `cezanne train`. keypoints: convolutions and a spatial softmax, as in Diffusion Policy, without a mask.
attention: a vision transformer over the whole picture, without a mask. detection: detection pooling."""

CURES: Mapping[str, str] = MappingProxyType(
    {
        "": "nothing",
        "viewpoint": "every demonstration drawn again from the other island's camera",
        "viewpoint, warped": "the same by a warp with depth, as recorded data would have it",
        "viewpoint, plane": "the same by a homography of the table's plane, without depth",
        "object swap": "the paper's object swap: the other object pasted over the target, which comes back as a distractor",
        "background": "another procedural background for each demonstration",
        "photometric": "OpenVLA's photometric set",
        "bridge": "a third place, seen from both cameras",
    }
)
"""What is done to the data, in words."""


@dataclass(frozen=True)
class Cell:
    """What is trained and tried."""

    part: str
    """Which figure it belongs to."""
    x: float
    """Where in that figure; what it means is the part's."""
    encoder: str
    islands: tuple[Island, Island]
    cure: str = ""
    fovy: float = 34.0
    """Of the camera [deg]."""
    wrist: bool = False
    """Whether the wrist camera looks too."""
    named: bool = False
    """Both objects always lie on the table, each at its place, and the mask says which one is meant."""

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.part} {self.x:g}, {self.encoder}{' + wrist' if self.wrist else ''}{', ' + self.cure if self.cure else ''}"


@dataclass(frozen=True)
class Part:
    """One question of the study: cells along one axis."""

    name: str
    says: str
    """What changes along the axis."""
    axis: str
    cells: tuple[Cell, ...]
    published: Mapping[str, tuple[tuple[float, float, float], ...]] = MappingProxyType({})
    """(x, degree of shortcut learning, success out of distribution) by model, read off the paper's Figure 6."""
    bars: bool = False
    """Whether arms stand side by side instead of along the axis."""


def _pair(a: tuple[float, float, float], b: tuple[float, float, float], places: int = 1, named: bool = False) -> tuple[Island, Island]:
    """Islands on the right and on the left with (low, high, edge) each."""
    first = island(-1, low=a[0], high=a[1], edge=a[2], places=places)
    return first, island(1, low=b[0], high=b[1], edge=b[2], places=places, blue=named)


def _edges(width: float, edge: float = EDGE) -> tuple[Island, Island]:
    """Angles from the outer edges inwards, a share `width` of the whole: the middles come together as it grows, as in the paper's code."""
    reach = 2 * edge * width
    return _pair((-edge, -edge + reach, -edge), (edge - reach, edge, edge))


def _centres(width: float) -> tuple[Island, Island]:
    """Angles about centres that stay, as in the paper's text."""
    reach = EDGE * width
    return _pair((-EDGE - reach, -EDGE + reach, -EDGE), (EDGE - reach, EDGE + reach, EDGE))


def _gap(share: float, places: int = 1, named: bool = False) -> tuple[Island, Island]:
    """One angle each, a share of the whole apart."""
    near = EDGE * share
    return _pair((-near, -near, -near), (near, near, near), places, named)


def _each_its_own(places: int, viewpoints: int) -> tuple[Island, Island]:
    """The tasks of an island spread over several angles, each task seen from one."""
    return _own(-1, places, viewpoints // 2), _own(1, places, viewpoints // 2)


def _own(side: int, places: int, viewpoints: int) -> Island:
    angles = [side * EDGE * (1 - 0.8 * (k * viewpoints // places) / max(viewpoints - 1, 1)) for k in range(places)]
    tasks = island(side, low=0, high=0, edge=0, places=places)
    return tuple(Task(task.place, angle, angle, angle) for task, angle in zip(tasks, angles, strict=True))


_CURED = {
    "keypoints": ("", "viewpoint", "viewpoint, warped", "viewpoint, plane", "background", "photometric", "bridge"),
    "attention": ("", "viewpoint", "bridge"),
    "detection": ("", "viewpoint", "bridge"),
}
_WIDTHS = (0.0, 0.25, 0.5, 0.75)
_GAPS = (1.0, 2 / 3, 1 / 3, 1 / 6)


def parts() -> tuple[Part, ...]:
    """All questions."""
    both = ("keypoints", "detection")
    three = ("keypoints", "attention", "detection")
    diversity = tuple(Cell("diversity", w, e, _edges(w)) for e in three for w in _WIDTHS)
    centres = tuple(Cell("centres", w, e, _centres(w)) for e in both for w in _WIDTHS)
    disparity = tuple(Cell("disparity", round(g, 3), e, _gap(g)) for e in both for g in _GAPS)
    places = tuple(Cell("places", n, e, _gap(1, n)) for e in both for n in (1, 3, 5))
    viewpoints = tuple(Cell("viewpoints", v, "keypoints", _gap(1, 5) if v == 2 else _each_its_own(5, v)) for v in (2, 4, 10))
    spans = tuple(
        Cell("span", 2 * edge, e, _edges(0.75, edge), fovy=44.0, wrist=wrist)
        for e, wrist in (("keypoints", False), ("detection", False), ("detection", True))
        for edge in (10.0, 20.0, 30.0)
    )
    cures = tuple(Cell("cures", k, e, _gap(1), cure) for e, mended in _CURED.items() for k, cure in enumerate(mended))
    naming = ("", "object swap", "viewpoint", "photometric")
    named = tuple(
        Cell("named", k, e, _gap(1, named=True), cure, named=True)
        for e in ("keypoints + mask", "detection")
        for k, cure in enumerate(naming)
    )
    return (
        Part(
            "diversity",
            "Camera angles of each island, as a share of all angles; the outer edges stay, so the islands' middles come together",
            "width of an island's angles / distance of outer edges",
            diversity,
            {
                "DP": ((0, 0.80, 0.00), (0.5, 0.01, 0.35), (0.75, 0.00, 0.67)),
                "MiniVLA": ((0, 1.0, 0.00), (0.25, 1.0, 0.01), (0.5, 0.65, 0.05), (0.75, 0.00, 0.155)),
                "pi0": ((0, 0.96, 0.00), (0.25, 0.60, 0.00), (0.5, 0.05, 0.235), (0.75, 0.00, 0.63)),
            },
        ),
        Part(
            "centres",
            "The same with the middles of the islands where they are: nothing but the width changes",
            "width of an island's angles / distance of middles",
            centres,
        ),
        Part(
            "disparity",
            "One camera angle for each island, nearer and nearer",
            "distance of the two camera angles / 20 degrees",
            disparity,
            {
                "DP": ((0.2, 0.00, 0.72), (0.4, 0.00, 0.65), (0.8, 0.09, 0.107), (1.2, 0.95, 0.00)),
                "MiniVLA": ((0.167, 0.00, 0.335), (0.333, 0.00, 0.147), (0.667, 0.05, 0.02), (1.0, 1.00, 0.00)),
                "pi0": ((0.333, 0.01, 0.33), (0.667, 0.24, 0.00), (1.0, 0.96, 0.00)),
            },
        ),
        Part(
            "places",
            "Places of the object in each island, one camera angle for each island",
            "places in each island",
            places,
            {"DP": ((1, 1.0, 0.0), (5, 1.0, 0.0)), "MiniVLA": ((1, 1.0, 0.0), (5, 0.0, 0.333)), "pi0": ((1, 0.96, 0.0), (5, 1.0, 0.0))},
        ),
        Part(
            "viewpoints",
            "Five places in each island: one camera angle for each island, or for each place one of its own",
            "camera angles in all",
            viewpoints,
            {"MiniVLA": ((2, 0.00, 0.25), (10, 0.20, 0.00))},
        ),
        Part(
            "span",
            "Islands of three quarters of all angles, further and further around the robot: the place in the picture says less and less",
            "all camera angles [degrees]",
            spans,
        ),
        Part("cures", "Two islands of one camera angle each, and what is done about it", "", cures, bars=True),
        Part("named", "Two objects on the table, the mask names one; two islands of one camera angle each", "", named, bars=True),
    )
