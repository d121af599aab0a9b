"""The page of a diagnosis: pictures first, then what to do, then how it was found. One file, nothing outside it."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
from markupsafe import Markup

from augment.diagnose.advice import COPIES, Addition, Remedy, noun
from augment.diagnose.diversity import Diversity
from augment.diagnose.factors import Factor, Table
from augment.diagnose.figures import SERIES, draw_diversity, draw_map, draw_sweep
from augment.diagnose.information import Dependence
from augment.diagnose.source import SubDataset

ALPHA = 0.05
"""Pairs with a p above it, all pairs together, cannot be told to depend."""
_SHOWN = 12
"""Pairs of factors in the table of the page."""
_PAIRS = 6
"""Pairs of factors in the table of sub-datasets."""
_VALUES = 20
"""Of a factor in a table of episodes; the rarest are one row or column."""
_SIDE = 112
"""Longer side of a thumbnail [px]."""
_UNITS = {"m": (100.0, "cm", "{:.0f}"), "deg": (1.0, "°", "{:.0f}"), "rad": (180 / np.pi, "°", "{:.0f}")}
"""What a unit is shown as: by which factor, its name, its format."""


@dataclass(frozen=True)
class Finding:
    """Two factors, and the p of their test for all pairs together."""

    pair: Dependence
    p: float

    @property
    def depends(self) -> bool:
        """Whether they can be told to depend."""
        return self.p <= ALPHA


@dataclass(frozen=True)
class Diagnosis:
    """All that a page shows. M sub-datasets."""

    mixture: Sequence[SubDataset]
    """Those of their episodes that features were taken of."""
    episodes: tuple[int, ...]
    """Of each sub-dataset, (M,)."""
    camera: str
    kind: str
    """Of the features."""
    features: Sequence[np.ndarray]
    pictures: Diversity
    words: Diversity
    """Of the instructions."""
    temperature: float
    table: Table
    findings: Sequence[Finding]
    """The most dependent first."""
    worst: Finding | None
    verdict: str
    additions: Sequence[Addition]
    remedies: Sequence[Remedy]
    proposition: str
    """What the paper's propositions say of the worst pair, where they hold."""
    permutations: int
    """Of each test, at least."""
    notes: Sequence[str]
    """What was missing, and what was done instead."""
    command: str


def render(found: Diagnosis) -> str:
    """The page."""
    names = found.pictures.names
    k = found.pictures.temperatures.index(found.temperature)
    comparable = found.kind != "classic"
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"number": number, "chance": _chance, "noun": noun, "upper_first": lambda text: text[:1].upper() + text[1:]}
    pictures = [sub.pictures[found.camera] for sub in found.mixture]
    several = len(names) > 1
    least = found.pictures.nearest(k)
    return environment.get_template("page.html.j2").render(
        found=found,
        names=names,
        several=several,
        comparable=comparable,
        checked=_checked(found),
        map=draw_map(found.features, names, pictures),
        frames=[_frames(name, k, shown, n) for k, (name, shown, n) in enumerate(zip(names, pictures, found.episodes, strict=True))],
        bars=draw_diversity(found.pictures, found.temperature, comparable=comparable),
        sweep=draw_sweep(found.pictures, comparable=comparable) if several else "",
        least=None if least is None else {"a": least[0], "b": least[1], "apart": np.exp(min(least[2], 600))},
        sets=[
            {
                "name": sub.name,
                "episodes": n,
                "weight": f"{sub.weight:g}",
                "pictures": np.exp(found.pictures.diversity[k, i]),
                "words": np.exp(found.words.diversity[k, i]),
            }
            for i, (sub, n) in enumerate(zip(found.mixture, found.episodes, strict=True))
        ],
        weighted=len({sub.weight for sub in found.mixture}) > 1,
        disparity=np.exp(min(found.pictures.disparity[k], 600)),
        fragmentation=np.exp(min(found.pictures.fragmentation[k], 600)),
        overall=np.exp(found.pictures.overall[k]),
        matrix=_matrix(found),
        inside=_inside(found) if several else None,
        joint=_joint(found),
        rows=_rows(found),
        additions=_additions(found),
        copies=COPIES,
    )


def labels(factor: Factor) -> dict[str, str]:
    """How the values of a factor are written, by label: in centimetres and degrees as long as they stay apart."""
    unit = re.search(r"\[(\w+)\]", factor.found)
    values = list(dict.fromkeys(factor.values))
    if unit is None or unit[1] not in _UNITS:
        return {value: value for value in values}
    scale, name, form = _UNITS[unit[1]]
    space = "" if name == "°" else " "
    for digits in (form, "{:.1f}", "{:.2f}"):
        written = {
            value: " to ".join(digits.format(scale * float(end)) for end in value.split(" to ")).replace("-0 ", "0 ") + space + name
            for value in values
        }
        if len(set(written.values())) == len(values):
            return {value: text.replace("-", "\N{MINUS SIGN}") for value, text in written.items()}
    return {value: value for value in values}


def number(value: float) -> str:
    """For people."""
    if not np.isfinite(value):
        return "\N{EN DASH}"
    return f"{value:.3g}" if 0.01 <= abs(value) < 1e5 or value == 0 else f"{value:.1e}".replace("e+0", "e").replace("e+", "e")


def _chance(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def _shade(value: float) -> Markup:
    """Colour of a cell from a share of information."""
    return Markup(f"{100 * float(np.clip(value, 0, 1)):.0f}%")


def _checked(found: Diagnosis) -> str:
    """What was looked at, in a sentence."""
    varying = sum(finding.pair.where == "mixture" for finding in found.findings)
    inside = len(found.findings) - varying
    still = [noun(factor.name) for factor in found.table.factors if not factor.varies]
    said = f"{varying} pair{'s' if varying != 1 else ''} of factors {'were' if varying != 1 else 'was'} tested over the mixture"
    said += f", {inside} inside sub-datasets" if inside else ""
    said += f"; {', '.join(still)} {'do' if len(still) > 1 else 'does'} not vary" if still else ""
    return said + f". Camera positions and pictures are those of camera “{found.camera}”."


def _frames(name: str, k: int, pictures: np.ndarray, episodes: int) -> dict[str, Any]:
    """Some first frames of a sub-dataset."""
    some = np.unique(np.linspace(0, len(pictures) - 1, 4).round().astype(int))
    return {"name": name, "series": k % SERIES, "episodes": episodes, "pictures": [_data(pictures[i]) for i in some]}


def _data(picture: np.ndarray) -> Markup:
    scale = _SIDE / max(picture.shape[:2])
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else picture
    packed = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    return Markup(f"data:image/jpeg;base64,{base64.b64encode(packed.tobytes()).decode()}")


def _cell(finding: Finding, worst: Finding | None) -> dict[str, Any]:
    return {
        "says": f"{finding.pair.nmi:.2f}",
        "chance": f"{finding.pair.null:.2f}",
        "shade": _shade(finding.pair.adjusted),
        "depends": finding.depends,
        "worst": worst is not None and finding.pair is worst.pair,
    }


def _matrix(found: Diagnosis) -> dict[str, Any] | None:
    """Relevant by irrelevant factors, over the mixture."""
    over = {(f.pair.u, f.pair.v): f for f in found.findings if f.pair.where == "mixture"}
    if not over:
        return None
    columns = [factor.name for factor in found.table.factors if any(v == factor.name for _, v in over)]
    rows = [factor.name for factor in found.table.factors if any(u == factor.name for u, _ in over)]
    return {
        "columns": columns,
        "rows": [(u, [_cell(over[u, v], found.worst) if (u, v) in over else None for v in columns]) for u in rows],
    }


def _inside(found: Diagnosis) -> dict[str, Any] | None:
    """The pairs that depend most inside a sub-dataset, inside every one of them and over the mixture."""
    by_pair: dict[tuple[str, str], dict[str, Finding]] = {}
    for finding in found.findings:
        by_pair.setdefault((finding.pair.u, finding.pair.v), {})[finding.pair.where] = finding
    inside = {pair: [f for where, f in own.items() if where != "mixture"] for pair, own in by_pair.items()}
    ranked = sorted(
        (pair for pair in inside if inside[pair]), key=lambda pair: min((not f.depends, -f.pair.adjusted) for f in inside[pair])
    )
    if not ranked:
        return None
    return {
        "columns": ranked[:_PAIRS],
        "rows": [
            (where, [_cell(by_pair[pair][where], found.worst) if where in by_pair[pair] else None for pair in ranked[:_PAIRS]])
            for where in ("mixture", *found.pictures.names)
        ],
    }


def _joint(found: Diagnosis) -> dict[str, Any] | None:
    """Episodes by the values of the worst pair."""
    if found.worst is None:
        return None
    pair = found.worst.pair
    u, v = (labels(found.table.named(name)) for name in (pair.u, pair.v))
    joint, rows = _folded(np.asarray(pair.joint), [u.get(label, label) for label in pair.u_labels])
    turned, columns = _folded(joint.T, [v.get(label, label) for label in pair.v_labels])
    most = max(float(turned.max()), 1.0)
    return {
        "u": noun(pair.u),
        "v": noun(pair.v),
        "where": pair.where,
        "columns": columns,
        "rows": [
            (label, [{"says": f"{int(n)}", "shade": _shade(n / most)} for n in row]) for label, row in zip(rows, turned.T, strict=True)
        ],
    }


def _folded(table: np.ndarray, names: list[str]) -> tuple[np.ndarray, list[str]]:
    """A table with its fullest rows, in order, and all others as one."""
    if len(table) <= _VALUES + 1:
        return table, names
    kept = np.sort(np.argsort(-table.sum(1), kind="stable")[:_VALUES])
    others = np.setdiff1d(np.arange(len(table)), kept)
    return np.vstack([table[kept], table[others].sum(0)]), [*(names[k] for k in kept), f"{len(others)} others"]


def _rows(found: Diagnosis) -> list[dict[str, Any]]:
    ranked = sorted(found.findings, key=lambda f: (not f.depends, -f.pair.adjusted))[:_SHOWN]
    return [{"pair": f.pair, "p": f.p} for f in ranked]


def _additions(found: Diagnosis) -> list[dict[str, Any]]:
    if found.worst is None:
        return []
    u, v = (labels(found.table.named(name)) for name in (found.worst.pair.u, found.worst.pair.v))
    return [{"count": a.count, "u": u.get(a.u, a.u), "v": v.get(a.v, a.v), "before": a.before, "after": a.after} for a in found.additions]
