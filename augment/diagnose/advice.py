"""What would make two factors independent: demonstrations to add, augmentations to run, each with the change that it would bring.

Predictions are computed from the joint table, not learned: they say what the data would let a policy know, not what it would do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from augment.diagnose.information import Dependence, normalized_mutual_information

GOOD = 0.1
"""Shared information that is worth no more demonstrations."""
_MOST = 8
"""Additions proposed at most."""
_MOVES = {
    "camera angle": ("viewpoint", "gives every demonstration the cameras of the others"),
    "camera height": ("viewpoint", "gives every demonstration the cameras of the others"),
    "camera distance": ("viewpoint", "gives every demonstration the cameras of the others"),
    "robot": ("embodiment", "gives every demonstration the other arms"),
    "background": ("background", "gives every demonstration other rooms"),
    "scene": ("background", "gives every demonstration other rooms"),
    "table": ("table", "gives every demonstration other tables"),
    "texture": ("table", "gives every demonstration other tables"),
}
"""Augmentations that spread an irrelevant factor over all values of the relevant one."""


_PLACE = {"object sideways": "object's position", "object forwards": "object's position"}


@dataclass(frozen=True)
class Addition:
    """Demonstrations that are missing."""

    u: str
    v: str
    """Values of the two factors."""
    count: int
    after: float
    """Normalised mutual information once these and all before them are there."""


@dataclass(frozen=True)
class Remedy:
    """An augmentation, and what it would do to the joint table."""

    name: str
    says: str
    before: float
    after: float
    """Normalised mutual information with one augmented copy of every demonstration beside it."""
    command: str


def additions(found: Dependence) -> tuple[Addition, ...]:
    """Which demonstrations to add, the most useful first, until little is shared.

    Greedy: of all pairs of values, the one whose addition, as many as an ordinary pair that is there has, lowers the information most.
    """
    joint = np.array(found.joint, float)
    batch = max(1, round(float(np.mean(joint[joint > 0]))))
    chosen = list[Addition]()
    while len(chosen) < _MOST and normalized_mutual_information(joint) > GOOD:
        value, at = min((normalized_mutual_information(_plus(joint, at, batch)), at) for at in np.ndindex(*joint.shape))
        if value >= normalized_mutual_information(joint) - 1e-9:
            break
        joint = _plus(joint, at, batch)
        chosen.append(Addition(found.u_labels[at[0]], found.v_labels[at[1]], batch, value))
    return tuple(chosen)


def remedies(found: Dependence, data: str = "DATA") -> tuple[Remedy, ...]:
    """Augmentations that bear on two factors, and one that does not, with what each would change. data: for the commands."""
    joint, said = np.array(found.joint, float), list[Remedy]()

    def add(name: str, says: str, after: np.ndarray, settings: str = "") -> None:
        command = f"cezanne augment data={data} out={data}-wide chain=[{name}]{settings}"
        said.append(Remedy(name, says, normalized_mutual_information(joint), normalized_mutual_information(after), command))

    if found.v in _MOVES:
        name, says = _MOVES[found.v]
        copies = joint.sum(1, keepdims=True) * np.full((1, joint.shape[1]), 1 / joint.shape[1])
        add(name, says, joint + copies, _arc(found) if name == "viewpoint" else "")
    if found.u in ("object", "instruction"):
        copies = np.full((joint.shape[0], 1), 1 / joint.shape[0]) * joint.sum(0, keepdims=True)
        add("swap", "puts the objects of the others where this one was", joint + copies)
    add("photometric", f"changes colours: neither {found.u} nor {found.v} has another value afterwards", 2 * joint)
    return tuple(said)


def verdict(found: Dependence | None, p: float, alpha: float = 0.05) -> str:
    """The worst pair in words. p: after correction for all pairs that were looked at."""
    if found is None:
        return "No pair of a relevant and an irrelevant factor varies: nothing can be said about shortcuts."
    if p > alpha:
        return (
            f"No pair of factors can be told to depend on each other. The nearest, {found.u} and {found.v}, share {found.nmi:.2f} of their "
            f"information; so few episodes share {found.null:.2f} by chance (p = {p:.3g} for all pairs together)."
        )
    where = "" if found.where == "mixture" else f" inside {found.where}"
    return (
        f"{found.u.capitalize()} and {found.v} share {found.nmi:.2f} of their information{where} (p = {p:.3g} for all pairs together): "
        f"a policy can read the {_PLACE.get(found.u, found.u)} off the {found.v.split()[0]}."
    )


def _plus(joint: np.ndarray, at: tuple[int, ...], count: int) -> np.ndarray:
    more = joint.copy()
    more[at] += count
    return more


def _arc(found: Dependence) -> str:
    """Settings of a viewpoint augmentation that spans the camera angles that are there."""
    if found.v != "camera angle":
        return " viewpoint.sampler=large"
    ends = [float(part) for label in found.v_labels for part in label.split(" to ")]
    span = max(ends) - min(ends)
    return f" viewpoint.sampler=arc viewpoint.low={-span:.3g} viewpoint.high={span:.3g}"
