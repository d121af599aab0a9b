"""`cezanne diagnose`: whether a mixture of data sets teaches the task or the camera. Pictures first, then words, then what to do."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from augment.diagnose.advice import GOOD, additions, remedies, verdict
from augment.diagnose.diversity import Estimator, measure
from augment.diagnose.factors import Table, choose_camera, holm, tabulate
from augment.diagnose.features import KINDS, open_features, words
from augment.diagnose.information import disjoint_value, entropy, normalized_mutual_information, overlap_bound
from augment.diagnose.page import ALPHA, Diagnosis, Finding, render
from augment.diagnose.source import SubDataset, open_subdataset
from augment.errors import AugmentError
from episodes.mixture import Mixture

_LOOKED_AT = 500
"""Episodes of a sub-dataset whose pictures are looked at, unless `samples` asks for more; factors are read of all."""


@dataclass
class DiagnoseConfig:
    """Says whether a data mixture teaches the task or the camera, and what would mend it."""

    data: list[str] = field(default_factory=list)
    """Folders of the sub-datasets: ours, or LeRobotDataset v3.0."""
    mixture: str = ""
    """Instead of `data`: a file of `name: weight`, as for training; data sets of weight 0 are left out."""
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
    """Of each test of independence; more where there are so many pairs that none could be told to depend."""
    seed: int = 0
    """Of samples, permutations and the bootstrap."""
    fail_above: float = 1.0
    """The command fails where a pair that can be told to depend shares more than this: for a check of data before training."""

    def __post_init__(self) -> None:
        if self.features not in KINDS:
            raise AugmentError(f"features={self.features}; known: {', '.join(KINDS)}")
        if not 1 <= self.temperature <= 100:
            raise AugmentError(f"temperature={self.temperature:g}; 1 to 100, the paper's bars are at 20")
        if not 99 <= self.permutations <= 100_000:
            raise AugmentError(f"permutations={self.permutations}; 99 to 100,000")
        if self.samples < 0 or self.seed < 0:
            raise AugmentError(f"samples={self.samples}, seed={self.seed}; neither can be negative")
        if not 0 <= self.fail_above <= 1:
            raise AugmentError(f"fail_above={self.fail_above:g} is a share of information, 0 to 1")


def run(cfg: DiagnoseConfig) -> dict[str, Any]:
    """Writes `report.html`, `summary.json` and `factors.csv`; in the summary, `ok` is False where a pair shares more than `fail_above`."""
    began = time.monotonic()
    folders = _folders(cfg)
    mixture = [open_subdataset(folder, name=name, weight=weight, camera=cfg.camera) for name, (folder, weight) in folders.items()]
    rng = np.random.default_rng(cfg.seed)
    camera = choose_camera(mixture, cfg.camera)
    kind, extract = open_features(cfg.features, cfg.weights)
    looked_at = [_drawn(sub, rng, max(cfg.samples, _LOOKED_AT)) for sub in mixture]
    features = [extract(sub.pictures[camera]) for sub in looked_at]
    extracted = time.monotonic()
    names = [sub.name for sub in mixture]
    temperatures = sorted({*range(10, 101, 10), cfg.temperature})
    how = {"estimator": cfg.estimator, "samples": cfg.samples, "temperatures": temperatures}
    pictures = measure(features, names, rng, **how)
    spoken = measure([words(sub.instructions) for sub in looked_at], names, rng, **how)
    table = tabulate(mixture, camera)
    findings = judge(table, rng, cfg.permutations)
    worst = choose_worst(findings)
    mends = worst is not None and worst.depends and min(worst.pair.nmi, worst.pair.adjusted) > GOOD
    said = verdict(None if worst is None else worst.pair, 1.0 if worst is None else worst.p, alpha=ALPHA)
    notes = [
        *(f"{sub.name}: {note}" for sub in mixture for note in sub.notes),
        *_duplicates(looked_at, camera),
        *pictures.notes,
        *table.notes,
    ]
    if len(mixture) == 1:
        notes.append("one sub-dataset: disparity and fragmentation are undefined")
    if worst and len({sub.weight for sub in mixture}) > 1:
        shared = _weighted(table, worst, mixture)
        notes.append(f"every episode counts once; by the weights of the mixture, the worst pair shares {shared:.2f} of its information")
    if kind == "classic" and cfg.features == "auto":
        notes.append("no weights of DINOv2 and SigLIP at hand (weights=FOLDER): features without any learning instead")
    page = render(
        Diagnosis(
            looked_at,
            tuple(map(len, mixture)),
            camera,
            kind,
            features,
            pictures,
            spoken,
            cfg.temperature,
            table,
            findings,
            worst,
            said,
            additions(worst.pair) if worst and mends else (),
            remedies(table, worst.pair, {name: folder for name, (folder, _) in folders.items()}) if worst and mends else (),
            _proposition(table, worst, findings),
            cfg.permutations,
            notes,
            _command(cfg),
        )
    )
    out, k = Path(cfg.out), temperatures.index(cfg.temperature)
    summary = {
        "subdatasets": names,
        "episodes": sum(map(len, mixture)),
        "camera": camera,
        "features": kind,
        "estimator": pictures.estimator.value,
        "samples": pictures.samples,
        "temperature": cfg.temperature,
        "diversity": {name: _value(ln) for name, ln in zip(names, pictures.diversity[k], strict=True)},
        "disparity": _value(pictures.disparity[k]),
        "fragmentation": _value(pictures.fragmentation[k]),
        "worst": None if worst is None else _said(worst),
        "depending": [_said(finding) for finding in findings if finding.depends],
        "verdict": said,
        "notes": notes,
        "report": str(out / "report.html"),
        "seconds": round(time.monotonic() - began, 1),
        "seconds_after_features": round(time.monotonic() - extracted, 1),
        "ok": not any(f.depends and f.pair.nmi > cfg.fail_above for f in findings if f.pair.v != "sub-dataset"),
    }
    _write(out, {"report.html": page, "summary.json": json.dumps(summary, indent=1) + "\n", "factors.csv": _csv(table)})
    print(said, file=sys.stderr)
    return summary


def _folders(cfg: DiagnoseConfig) -> dict[str, tuple[str, float]]:
    """Folder and weight of each sub-dataset, by a name of its own. Raises AugmentError, and StoreError for a bad file."""
    if cfg.mixture and cfg.data:
        raise AugmentError("data and mixture are both given; a mixture file names its data sets")
    if cfg.mixture:
        return {entry.name: (str(entry.path), entry.weight) for entry in Mixture.load(cfg.mixture).entries if entry.weight > 0}
    if not cfg.data:
        raise AugmentError("data=[] names no data set; say data=[A,B], or mixture=FILE")
    paths = [Path(folder).resolve() for folder in cfg.data]
    for path in paths:
        if paths.count(path) > 1:
            raise AugmentError(f"data names {path.name} twice; its episodes would count double")
    short = [path.name for path in paths]
    names = [path.name if short.count(path.name) == 1 else f"{path.parent.name}/{path.name}" for path in paths]
    names = [name if names.count(name) == 1 else folder for name, folder in zip(names, cfg.data, strict=True)]
    return {name: (folder, 1.0) for name, folder in zip(names, cfg.data, strict=True)}


def _weighted(table: Table, worst: Finding, mixture: Sequence[SubDataset]) -> float:
    """What the worst pair shares once the weights of the mixture are in: each episode counts by its data set's."""
    weights = {sub.name: sub.weight for sub in mixture}
    u, v = (table.named(name).values for name in (worst.pair.u, worst.pair.v))
    row, column = ({label: k for k, label in enumerate(labels)} for labels in (worst.pair.u_labels, worst.pair.v_labels))
    joint = np.zeros(worst.pair.joint.shape)
    for k, owner in enumerate(table.owner):
        if worst.pair.where in ("mixture", owner):
            joint[row[u[k]], column[v[k]]] += weights[owner]
    return normalized_mutual_information(joint)


def judge(table: Table, rng: np.random.Generator, permutations: int) -> list[Finding]:
    """Every pair of a relevant and an irrelevant factor that both vary, over the mixture and inside its sub-datasets.

    These two are different questions, each with its own correction (Holm) for all of its pairs.
    """
    found = [d for d in table.dependences(rng, permutations) if min(d.joint.shape) > 1]
    families = [[d for d in found if (d.where == "mixture") is whole] for whole in (True, False)]
    return [Finding(d, p) for family in families for d, p in zip(family, holm(family), strict=True)]


def choose_worst(findings: Sequence[Finding]) -> Finding | None:
    """The pair that shares most beyond chance, of those that can be told to depend if there are any; None where nothing varies.

    Which sub-dataset an episode is of sums up all that differs between them, so a pair with it is chosen only where there is no other.
    """
    named = [finding for finding in findings if finding.pair.v != "sub-dataset"] or findings
    return min(named, key=lambda f: (not f.depends, -f.pair.adjusted), default=None)


def _drawn(sub: SubDataset, rng: np.random.Generator, most: int) -> SubDataset:
    """At most `most` of its episodes, in order."""
    return sub if len(sub) <= most else sub.choose(np.sort(rng.choice(len(sub), most, replace=False)))


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


def _proposition(table: Table, worst: Finding | None, findings: Sequence[Finding]) -> str:
    """Proposition 3.1's value or 3.2's bound for the worst pair, where their conditions hold: two equal parts, independent inside."""
    names = list(dict.fromkeys(table.owner))
    if worst is None or worst.pair.where != "mixture" or len(names) != 2:
        return ""
    pair = worst.pair
    if len({table.owner.count(name) for name in names}) > 1 or any(
        f.depends and f.pair.where != "mixture" and (f.pair.u, f.pair.v) == (pair.u, pair.v) for f in findings
    ):
        return "The paper's propositions are for sub-datasets of one size whose factors are independent inside, and say nothing here."
    u, v = (_shares(table, name, names) for name in (pair.u, pair.v))
    if not any((p > 0).all(0).any() for p in (u, v)):
        value = disjoint_value(sum(entropy(row) for p in (u, v) for row in p))
        return f"The sub-datasets share no value of either factor: Proposition 3.1 of the paper gives {value:.2f}, measured {pair.nmi:.2f}."
    bound = overlap_bound(u, v)
    if bound is None:
        return (
            "The sub-datasets share values in other proportions: the bound of the paper's Proposition 3.2 does not hold, and is not shown."
        )
    return f"Proposition 3.2 of the paper bounds what is shared by {bound:.2f}, measured {pair.nmi:.2f}."


def _shares(table: Table, factor: str, names: Sequence[str]) -> np.ndarray:
    """Probabilities of a factor's values in each sub-dataset, (M, n)."""
    found = table.named(factor).values
    values = sorted(set(found))
    rows = [[sum(value == v for value, owner in zip(found, table.owner, strict=True) if owner == name) for v in values] for name in names]
    return np.array(rows, float) / np.sum(rows, axis=1, keepdims=True)


def _command(cfg: DiagnoseConfig) -> str:
    """What makes this report again."""
    fresh, said = DiagnoseConfig(), list[str]()
    for key in fields(cfg):
        value = getattr(cfg, key.name)
        if value != getattr(fresh, key.name):
            shown = f"[{','.join(value)}]" if isinstance(value, list) else value.value if isinstance(value, Enum) else value
            said.append(f"{key.name}={shown}")
    return f"cezanne diagnose {' '.join(said)}"


def _csv(table: Table) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["sub-dataset of the episode", *(factor.name for factor in table.factors)])
    rows.writerows(zip(table.owner, *(factor.values for factor in table.factors), strict=True))
    return text.getvalue()


def _write(out: Path, files: dict[str, str]) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (part := out / f".{name}-{os.getpid()}").write_text(text, encoding="utf-8")
            part.replace(out / name)
    except OSError as error:
        raise AugmentError(f"cannot write the report to {out}: {error.strerror or error}") from error


def _said(finding: Finding) -> dict[str, Any]:
    pair = finding.pair
    return {"u": pair.u, "v": pair.v, "nmi": round(pair.nmi, 4), "p": round(finding.p, 5), "where": pair.where}


def _value(ln: float) -> float | None:
    """From its logarithm, to six digits; None where it is undefined."""
    return float(f"{np.exp(ln):.6g}") if np.isfinite(ln) else None
