"""What the benchmark of attention compares gives the same numbers."""

from __future__ import annotations

import pytest
import torch

from benchmarks.kernels import contenders


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("backward", [pytest.param(False, marks=pytest.mark.slow, id="forward"), pytest.param(True, id="backward")])
def test_all_ways_to_attend_agree(backward: bool) -> None:
    """Forward takes half a minute where FlexAttention is compiled."""
    lengths, heads = torch.tensor([5, 1, 40, 17, 3]), 2
    qkv = torch.randn(int(lengths.sum()), 3 * 32, generator=torch.Generator().manual_seed(0), requires_grad=backward)
    found = {}
    for name, call in contenders(lengths, heads, half=False, backward=backward).items():
        out = call(qkv)
        found[name] = out if not backward else torch.autograd.grad(out.square().sum(), qkv)[0]
    assert {"padded", "single", "nested"} <= set(found)
    for name, values in found.items():
        torch.testing.assert_close(values, found["padded"], rtol=1e-5, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")
