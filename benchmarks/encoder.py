"""Token dropping against its masked reference: `python -m benchmarks.encoder`.

The same ViT with detection pooling over the same pictures and masks, in one process, in turn: once on the object's tokens alone, once on
all tokens under the attention mask. Masks touch 4 to 25 of 196 patches, as a toy does. The median of the rounds counts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from policies.config import EncoderConfig, Masking, Pooling
from policies.encoder import Encoder
from policies.reference import encode_masked

SIZE, PATCH = 224, 16
SMALL = EncoderConfig(Pooling.det, Masking.patch, patch=PATCH, dim=384, layers=12, heads=6, cap=0)
"""ViT-S/16."""


def pictures(rng: np.random.Generator, n: int) -> tuple[Tensor, Tensor]:
    """n pictures (n, 1, 3, H, W) u8 with ellipses that touch 4 to 25 patches, (n, 1, H, W) bool."""
    images = torch.from_numpy(rng.integers(0, 256, (n, 1, 3, SIZE, SIZE), np.uint8))
    y, x = np.mgrid[:SIZE, :SIZE]
    masks = []
    while len(masks) < n:
        centre, radius = rng.uniform(40, SIZE - 40, 2), rng.uniform(8, 40, 2)
        mask = ((x - centre[0]) / radius[0]) ** 2 + ((y - centre[1]) / radius[1]) ** 2 < 1
        touched = mask.reshape(SIZE // PATCH, PATCH, SIZE // PATCH, PATCH).any((1, 3)).sum()
        if 4 <= touched <= 25:
            masks.append(mask)
    return images, torch.from_numpy(np.stack(masks))[:, None]


def milliseconds(call: Callable[[], object]) -> float:
    """How long one call takes [ms]."""
    start = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - start)


def main() -> None:
    """Prints the figures; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=16, help="pictures a batch")
    parser.add_argument("--rounds", type=int, default=9, help="measurements of each, in turn")
    parser.add_argument("--seed", type=int, default=0, help="of weights, pictures and masks")
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    encoder = Encoder(SMALL, cameras=1, size=(SIZE, SIZE)).eval()
    images, masks = pictures(np.random.default_rng(arguments.seed), arguments.pictures)
    tokens = encoder.cut(images, masks).lengths.float().mean().item()
    patches, threads = (SIZE // PATCH) ** 2, torch.get_num_threads()
    print(f"ViT-S/{PATCH}, {len(images)} pictures of {SIZE} px, {tokens:.1f} of {patches} patches, {threads} threads")
    with torch.inference_mode():
        difference = (encoder(images, masks) - encode_masked(encoder, images, masks)).abs().max().item()
        rounds = [
            (milliseconds(lambda: encoder(images, masks)), milliseconds(lambda: encode_masked(encoder, images, masks)))
            for _ in range(arguments.rounds)
        ]
    dropped, reference = (statistics.median(times) for times in zip(*rounds, strict=True))
    print(f"object tokens alone {dropped:.1f} ms, all tokens under a mask {reference:.1f} ms, largest difference {difference:.1e}")
    figures = {"ratio": round(reference / dropped, 2), "max_difference": difference, "dropped_ms": round(dropped, 2)}
    print(json.dumps(figures | {"reference_ms": round(reference, 2)}))


if __name__ == "__main__":
    main()
