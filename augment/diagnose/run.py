"""`cezanne diagnose`: whether a mixture of data sets teaches the task or the camera. Pictures first, then words, then what to do."""

from __future__ import annotations

import csv
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from augment.diagnose.advice import additions, remedies, verdict
from augment.diagnose.diversity import Diversity, Estimator, measure
from augment.diagnose.factors import Table, choose_camera, holm, tabulate
from augment.diagnose.features import KINDS, open_features, words
from augment.diagnose.figures import draw_diversity, draw_factors, draw_joint, draw_map, draw_sweep
from augment.diagnose.information import Dependence, disjoint_value, entropy, overlap_bound
from augment.diagnose.source import SubDataset, open_subdataset
from augment.errors import AugmentError

_SHOWN = 12
"""Pairs of factors in the table of the page."""


@dataclass
class DiagnoseConfig:
    """Says whether a data mixture teaches the task or the camera, and what would mend it."""

    data: list[str] = field(default_factory=list)
    """Folders of the sub-datasets."""
    out: str = "runs/diagnosis"
    """Folder of the report."""
    camera: str = ""
    """Which camera to look through; empty: the first that all have and that is fixed to the world."""
    features: str = "auto"
    """auto, classic (needs nothing) or dinov2+siglip (needs weights)."""
    weights: str = ""
    """Folder of dinov2.safetensors and siglip.safetensors."""
    samples: int = 0
    """Episodes of each sub-dataset that diversity is measured on; 0: as many as the smallest has, at most 500."""
    temperature: float = 20.0
    """Of the kernel, for the bars."""
    estimator: Estimator = Estimator.without_self_pairs
    """Which pairs count inside a sub-dataset."""
    permutations: int = 1999
    """Of each test of independence."""
    seed: int = 0
    """Of samples, permutations and the bootstrap."""
    fail_above: float = 1.0
    """The command fails where a pair that can be told to depend shares more than this: for a check of data before training."""

    def __post_init__(self) -> None:
        if self.features not in KINDS:
            raise AugmentError(f"features={self.features}; known: {', '.join(KINDS)}")
        if not 1 <= self.temperature <= 1000:
            raise AugmentError(f"temperature={self.temperature:g}; 1 to 1000, the paper's bars are at 20")
        if not 99 <= self.permutations <= 100_000:
            raise AugmentError(f"permutations={self.permutations}; 99 to 100,000")
        if self.samples < 0 or self.seed < 0:
            raise AugmentError(f"samples={self.samples}, seed={self.seed}; neither can be negative")
        if not 0 < self.fail_above <= 1:
            raise AugmentError(f"fail_above={self.fail_above:g} is a share of information, above 0 and at most 1")


def run(cfg: DiagnoseConfig) -> dict[str, Any]:
    """Writes the report and returns its summary; `ok` is False where a pair shares more than `fail_above`."""
    began = time.monotonic()
    mixture = open_mixture(cfg.data)
    rng = np.random.default_rng(cfg.seed)
    camera = choose_camera(mixture, cfg.camera)
    kind, extract = open_features(cfg.features, cfg.weights)
    drawn = [_drawn(sub, rng) for sub in mixture]
    features = [extract(sub.pictures[camera]) for sub in drawn]
    extracted = time.monotonic()
    temperatures = sorted({*range(10, 101, 10), cfg.temperature})
    names = [sub.name for sub in mixture]
    how = {"estimator": cfg.estimator, "samples": cfg.samples, "temperatures": temperatures}
    diversity = measure(features, names, rng, **how)
    spoken = measure([words(sub.instructions) for sub in drawn], names, rng, **{**how, "resamples": 20})
    table = tabulate(mixture, camera)
    found = table.dependences(rng, cfg.permutations)
    corrected = holm(found)
    worst, p = _worst(found, corrected)
    said = verdict(worst, p)
    bad = worst is not None and p <= 0.05
    notes = [*(f"{sub.name}: {note}" for sub in mixture for note in sub.notes), *_duplicates(drawn, camera), *diversity.notes, *table.notes]
    page = _page(cfg, drawn, features, diversity, spoken, found, corrected, worst, said, bad, notes, kind, camera)
    out = Path(cfg.out)
    report = _write(out, page, table)
    print(said, file=sys.stderr)
    k = temperatures.index(cfg.temperature)
    return {
        "subdatasets": names,
        "episodes": sum(map(len, mixture)),
        "features": kind,
        "estimator": diversity.estimator.value,
        "samples": diversity.samples,
        "ln_diversity": {name: round(float(v), 4) for name, v in zip(names, diversity.diversity[k], strict=True)},
        "ln_disparity": _number(diversity.disparity[k]),
        "ln_fragmentation": _number(diversity.fragmentation[k]),
        "worst": None
        if worst is None
        else {"u": worst.u, "v": worst.v, "where": worst.where, "nmi": round(worst.nmi, 4), "p": round(p, 5)},
        "verdict": said,
        "notes": notes,
        "report": str(report),
        "seconds": round(time.monotonic() - began, 1),
        "seconds_after_features": round(time.monotonic() - extracted, 1),
        "ok": not (bad and worst is not None and worst.nmi > cfg.fail_above),
    }


def open_mixture(folders: Sequence[str]) -> list[SubDataset]:
    """Sub-datasets with names of their own. Raises AugmentError, and StoreError for a folder that holds no data set."""
    if not folders:
        raise AugmentError("data=[] names no data set; say data=[A,B]")
    paths = [Path(folder).resolve() for folder in folders]
    for path in paths:
        if paths.count(path) > 1:
            raise AugmentError(f"data names {path.name} twice; its episodes would count double")
    short = [path.name for path in paths]
    names = [name if short.count(name) == 1 else f"{path.parent.name}/{name}" for name, path in zip(short, paths, strict=True)]
    return [open_subdataset(path, name=name) for name, path in zip(names, paths, strict=True)]


def _named(found: Dependence, p: float) -> dict[str, Any]:
    return {"u": found.u, "v": found.v, "where": found.where, "nmi": round(found.nmi, 4), "p": round(p, 5)}


def _drawn(sub: SubDataset, rng: np.random.Generator, most: int = 500) -> SubDataset:
    """At most `most` of its episodes, in order."""
    return sub if len(sub) <= most else sub.choose(np.sort(rng.choice(len(sub), most, replace=False)))


def _worst(found: Sequence[Dependence], corrected: Sequence[float]) -> tuple[Dependence | None, float]:
    """The pair that shares most beyond chance, of those that can be told to depend if any; and its p for all together."""
    telling = [(p > 0.05, -d.adjusted, k) for k, (d, p) in enumerate(zip(found, corrected, strict=True)) if min(d.joint.shape) > 1]
    telling = [entry for entry in telling if found[entry[2]].v != "sub-dataset"] or telling  # its name is what the others explain
    if not telling:
        return None, 1.0
    k = min(telling)[2]
    return found[k], corrected[k]


def _duplicates(mixture: Sequence[SubDataset], camera: str) -> list[str]:
    """What is to be said about first frames that are the same picture."""
    said, seen = [], dict[bytes, str]()
    for sub in mixture:
        own = [picture.tobytes() for picture in sub.pictures[camera]]
        copies = len(own) - len(set(own))
        shared = sorted({seen[picture] for picture in set(own) if picture in seen})
        if copies:
            said.append(f"{sub.name}: {copies} of {len(own)} first frames are copies of another, which lowers its diversity")
        if shared:
            said.append(f"{sub.name} has first frames that are also in {', '.join(shared)}")
        seen |= dict.fromkeys(own, sub.name)
    return said


def _page(
    cfg: DiagnoseConfig,
    mixture: Sequence[SubDataset],
    features: Sequence[np.ndarray],
    diversity: Diversity,
    spoken: Diversity,
    found: Sequence[Dependence],
    corrected: Sequence[float],
    worst: Dependence | None,
    said: str,
    bad: bool,
    notes: Sequence[str],
    kind: str,
    camera: str,
) -> str:
    k = diversity.temperatures.index(cfg.temperature)
    rows = [
        {"u": d.u, "v": d.v, "where": d.where, "nmi": d.nmi, "null": d.null, "adjusted": d.adjusted, "p": p}
        for d, p in zip(found, corrected, strict=True)
    ]
    least = diversity.nearest(k)
    context = {
        "names": diversity.names,
        "episodes": sum(map(len, mixture)),
        "camera": camera,
        "verdict": said,
        "bad": bad,
        "kind": kind,
        "map": draw_map(features, diversity.names, [sub.pictures[camera] for sub in mixture]),
        "diversity_figure": draw_diversity(diversity, cfg.temperature),
        "sweep_figure": draw_sweep(diversity) if len(mixture) > 1 else "",
        "nearest": f"{least[0]} and {least[1]}, e^{least[2]:.1f}" if least else "",
        "temperature": cfg.temperature,
        "sets": [
            {
                "name": sub.name,
                "episodes": len(sub),
                "diversity": _power(diversity.diversity[k, i]),
                "words": _power(spoken.diversity[k, i]),
            }
            for i, sub in enumerate(mixture)
        ],
        "method": _method(diversity, kind, cfg),
        "notes": notes,
        "rows": sorted(rows, key=lambda row: (row["p"] > 0.05, -row["adjusted"]))[:_SHOWN],
    }
    if worst is not None:
        context |= {
            "factors_figure": draw_factors(found, worst),
            "joint_figure": draw_joint(worst),
            "where": worst.where,
            "u": worst.u,
            "v": worst.v,
            "additions": additions(worst) if bad else (),
            "remedies": remedies(worst, cfg.data[0]),
            "bounds": _bounds(worst, found, mixture),
        }
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.ChainableUndefined, trim_blocks=True
    )
    return environment.get_template("page.html.j2").render(context)


def _method(found: Diversity, kind: str, cfg: DiagnoseConfig) -> list[str]:
    """What an honest replication must state."""
    features = {
        "classic": "Features: colours, edges and layout, without any learning (no weights were given). Their cosines are not those of "
        "DINOv2 and SigLIP, so diversity, disparity and temperatures cannot be compared with the paper's figures, only within this report.",
        "dinov2+siglip": "Features: DINOv2 (ViT-L/14 with registers) and SigLIP (So400M/14) at 224 px, timm's pooled outputs, each of unit "
        "length, then both together. The paper does not say which variants it used.",
    }[kind]
    return [
        features,
        f"First frames only, {found.samples} of each sub-dataset; estimator {found.estimator.value}.",
        "Diversity of the mixture is the harmonic mean of the sub-datasets', which the paper's figures bear out; the text does not say it.",
        "Instructions as counts of words and of letters in threes, hashed: their diversity too is of this report only.",
        f"Information is exact, from counts. p by {cfg.permutations} permutations, corrected for all pairs of factors by Holm's method. "
        "Continuous factors are cut into at most six intervals of equal counts, or into clusters where there are a few.",
        "Proposition 3.2 of the paper is false as stated; its bound is shown only where its proof holds.",
        "Dependence says what a policy could read off, not that it does: how it pools pictures decides as much.",
    ]


def _bounds(worst: Dependence, found: Sequence[Dependence], mixture: Sequence[SubDataset]) -> str:
    """Proposition 3.1's value or 3.2's bound for the worst pair, where there are two sub-datasets and it holds."""
    inside = {d.where: d for d in found if (d.u, d.v) == (worst.u, worst.v) and d.where != "mixture"}
    if len(mixture) != 2 or len(inside) != 2 or worst.where != "mixture":
        return ""
    u, v = (_marginals(list(inside.values()), axis) for axis in (0, 1))
    bound = overlap_bound(u, v)
    if bound is None:
        return (
            "The two sub-datasets share values of a factor with other frequencies: the paper's bound (Proposition 3.2) does not hold there "
            "and is not shown."
        )
    meet = any((p > 0).all(0).any() for p in (u, v))
    if meet:
        return f"Proposition 3.2 bounds the shared information by {bound:.2f}, were the sub-datasets of one size and independent inside."
    value = disjoint_value(sum(entropy(row) for p in (u, v) for row in p))
    return f"They share no value of either factor: Proposition 3.1 gives {value:.2f}, were they of one size and independent inside."


def _marginals(pair: Sequence[Dependence], axis: int) -> np.ndarray:
    """Probabilities of one factor in two sub-datasets over the values of both, (2, n)."""
    labels = [d.u_labels if axis == 0 else d.v_labels for d in pair]
    values = sorted({label for mine in labels for label in mine})
    table = np.zeros((2, len(values)))
    for row, d, mine in zip(table, pair, labels, strict=True):
        row[[values.index(label) for label in mine]] = d.joint.sum(1 - axis) / d.joint.sum()
    return table


def _write(out: Path, page: str, table: Table) -> Path:
    try:
        out.mkdir(parents=True, exist_ok=True)
        with open(part := out / f".factors-{os.getpid()}", "w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["sub-dataset of the episode", *(factor.name for factor in table.factors)])
            rows.writerows(zip(table.owner, *(factor.values for factor in table.factors), strict=True))
        part.replace(out / "factors.csv")
        (part := out / f".report-{os.getpid()}").write_text(page, encoding="utf-8")
        return part.replace(out / "report.html")
    except OSError as error:
        raise AugmentError(f"cannot write the report to {out}: {error.strerror or error}") from error


def _number(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None


def _power(ln: float) -> str:
    """A number from its logarithm, for people."""
    return f"{np.exp(ln):.3g}" if ln < 12 else f"10^{ln / np.log(10):.1f}"
