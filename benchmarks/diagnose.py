"""How long a diagnosis takes: `python -m benchmarks.diagnose`.

A mixture of made-up sub-datasets, with features as wide as DINOv2's and SigLIP's together and four factors that a task depends on beside
seven that it should not: time of everything after the features, frames per second of the features that need no weights, and the
permutation test beside one that permutes labels and counts again, as one would write it first. Every line is JSON; the last one holds all.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from augment.diagnose.diversity import measure
from augment.diagnose.factors import Factor, Kind, Table, holm
from augment.diagnose.features import classic
from augment.diagnose.information import depend, normalized_mutual_information

WIDTH = 1024 + 1152
"""Of the features of DINOv2 (ViT-L) and SigLIP (So400M)."""
VALUES = {"instruction": 20, "object": 20, "object forwards": 6, "object sideways": 6}
OTHERS = {"camera angle": 6, "camera height": 6, "camera distance": 6, "scene": 4, "table": 4, "light": 3, "start pose": 6}
"""How many values each factor takes; which sub-dataset it is counts as one of the second kind too."""


def timed(of: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what came out."""
    began = time.perf_counter()
    out = of()
    return time.perf_counter() - began, out


def make_table(rng: np.random.Generator, sets: int, episodes: int) -> Table:
    """Factors that are independent, but for the object's position to the side, which the camera's angle tells."""
    count = sets * episodes
    owner = tuple(f"set {k // episodes}" for k in range(count))
    drawn = {name: rng.integers(most, size=count) for name, most in {**VALUES, **OTHERS}.items()}
    drawn["camera angle"] = drawn["object sideways"]
    factors = [Factor(name, Kind.relevant, tuple(map(str, drawn[name])), "made up") for name in VALUES]
    factors.append(Factor("sub-dataset", Kind.irrelevant, owner, "made up"))
    factors += [Factor(name, Kind.irrelevant, tuple(map(str, drawn[name])), "made up") for name in OTHERS]
    return Table(tuple(factors), owner, ())


def permuted(u: np.ndarray, v: np.ndarray, rng: np.random.Generator, permutations: int) -> float:
    """The p that labels dealt out one by one give."""
    rows, columns = int(u.max()) + 1, int(v.max()) + 1

    def shared(other: np.ndarray) -> float:
        return normalized_mutual_information(np.bincount(u * columns + other, minlength=rows * columns).reshape(rows, columns))

    value = shared(v)
    return (1 + sum(shared(rng.permutation(v)) >= value - 1e-12 for _ in range(permutations))) / (1 + permutations)


def main() -> None:
    """Prints the figures; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=10, help="sub-datasets")
    parser.add_argument("--episodes", type=int, default=500, help="of each")
    parser.add_argument("--frames", type=int, default=1000, help="that features are taken of")
    parser.add_argument("--permutations", type=int, default=1999, help="of each test")
    parser.add_argument("--seed", type=int, default=0, help="of everything")
    arguments = parser.parse_args()
    rng, told = np.random.default_rng(arguments.seed), dict[str, Any]()

    def tell(measure: str, **figures: Any) -> None:
        print(json.dumps({"measure": measure, **figures}), flush=True)
        told.update(figures)

    features = [rng.normal(size=(arguments.episodes, WIDTH)) + 2 * rng.normal(size=WIDTH) for _ in range(arguments.sets)]
    names = [f"set {k}" for k in range(arguments.sets)]
    seconds, _ = timed(lambda: measure(features, names, rng))
    tell("diversity", diversity_seconds=round(seconds, 2), sets=arguments.sets, episodes=arguments.episodes)
    table = make_table(rng, arguments.sets, arguments.episodes)
    tests, found = timed(lambda: table.dependences(rng, arguments.permutations))
    depending = [(d.where, d.u, d.v) for d, p in zip(found, holm(found), strict=True) if p <= 0.05]
    planted = sum((u, v) == ("object sideways", "camera angle") for _, u, v in depending)
    tell("dependence", dependence_seconds=round(tests, 2), tests=len(found), planted_found=planted, others_found=len(depending) - planted)
    tell("after features", seconds_after_features=round(seconds + tests, 2))

    frames = rng.integers(0, 256, (arguments.frames, 128, 128, 3), np.uint8)
    seconds, _ = timed(lambda: classic(frames))
    tell("features", frames_per_second=round(arguments.frames / seconds))

    u, v = rng.integers(6, size=arguments.episodes), rng.integers(6, size=arguments.episodes)
    ours, one = timed(lambda: depend(("u", u.tolist()), ("v", v.tolist()), rng, permutations=arguments.permutations))
    theirs, p = timed(lambda: permuted(u, v, rng, arguments.permutations))
    tell("test", test_ms=round(1e3 * ours, 2), permuted_ms=round(1e3 * theirs, 1), ratio=round(theirs / ours, 1), p=one.p, permuted_p=p)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
