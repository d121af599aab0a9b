"""Laws of the encoder: dropping background tokens changes nothing, and each pooling sees what it says it sees."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from policies import attention
from policies.attention import Kernel, Runs
from policies.box import boxed
from policies.config import EncoderConfig, Masking, Pooling
from policies.encoder import Encoder
from policies.errors import PolicyError
from policies.form import FORMS
from policies.reference import encode_masked

SIZE = 64
TRANSFORMERS = [pooling for pooling, form in FORMS.items() if form.pool is not None]


def pictures(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Three samples of two views with masks of many kinds: large, tiny, thin, everything, nothing."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (3, 2, 3, SIZE, SIZE), generator=generator, dtype=torch.uint8)
    masks = torch.zeros(3, 2, SIZE, SIZE, dtype=torch.bool)
    masks[0, 0, 10:30, 5:40] = True
    masks[0, 1, 7, 7] = True
    masks[1, 0, 33, 2:60] = True
    masks[1, 1] = True
    masks[2, 1] = torch.rand(SIZE, SIZE, generator=generator) < 0.002
    return images, masks


def encoder(pooling: Pooling = Pooling.det, masking: Masking = Masking.pixel, cap: int = 0) -> Encoder:
    torch.manual_seed(1)
    return Encoder(EncoderConfig(pooling, masking, patch=8, dim=48, layers=3, heads=4, cap=cap), cameras=2, size=(SIZE, SIZE))


def run_by_run(q: Tensor, k: Tensor, v: Tensor, runs: Runs) -> Tensor:
    """What the variable-length kernel is to compute, written out."""
    outs = []
    for a, b in itertools.pairwise(runs.edges.tolist()):
        score = torch.einsum("ihd,jhd->hij", q[a:b].float(), k[a:b].float()) / q.shape[2] ** 0.5
        outs.append(torch.einsum("hij,jhd->ihd", score.softmax(-1), v[a:b].float()).to(q.dtype))
    assert runs.longest == int(runs.edges.diff().max())
    return torch.cat(outs)


def assert_equal_to_reference(model: Encoder) -> None:
    images, masks = pictures()
    packed, reference = model(images, masks), encode_masked(model, images, masks)
    assert (packed - reference).abs().max() < 2e-6
    weight = torch.randn(packed.shape, generator=torch.Generator().manual_seed(2))
    parameters = list(model.parameters())
    mine = torch.autograd.grad((packed * weight).sum(), parameters)
    theirs = torch.autograd.grad((reference * weight).sum(), parameters)
    for a, b in zip(mine, theirs, strict=True):
        assert (a - b).abs().max() <= 1e-5 * b.abs().max().clamp(min=1)


@pytest.mark.parametrize("pooling", [Pooling.det, Pooling.box])
@pytest.mark.parametrize("masking", list(Masking))
def test_dropping_background_tokens_leaves_vectors_and_gradients_unchanged(masking: Masking, pooling: Pooling) -> None:
    assert_equal_to_reference(encoder(pooling, masking))


@pytest.mark.parametrize("pooling", [Pooling.det_masked, Pooling.crop, Pooling.channel, Pooling.mean])
def test_packing_leaves_vectors_and_gradients_unchanged(pooling: Pooling) -> None:
    assert_equal_to_reference(encoder(pooling))


@pytest.mark.parametrize("kernel", [Kernel.single, Kernel.varlen])
@pytest.mark.parametrize("pooling", [Pooling.det, Pooling.box, Pooling.crop])
def test_kernels_without_padding_compute_the_same(pooling: Pooling, kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "_flash", run_by_run)
    model = encoder(pooling)
    model.kernel = kernel
    assert_equal_to_reference(model)


@pytest.mark.parametrize("pooling", TRANSFORMERS)
def test_kernels_agree_with_tokens_beside_the_patches_and_with_fillers(pooling: Pooling, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "_flash", run_by_run)
    model = encoder(pooling)
    images, masks = pictures()
    for half, close in ((False, 2e-6), (True, 0.05)):
        found = []
        for kernel in Kernel:
            model.kernel = kernel
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                out = model(images, masks)
            assert all(g is None or g.isfinite().all() for g in torch.autograd.grad(out.sum(), list(model.parameters()), allow_unused=True))
            found.append(out)
        assert all((found[0] - other).abs().max() < close for other in found[1:])


@pytest.mark.gpu
@pytest.mark.parametrize("pooling", [Pooling.det, Pooling.box, Pooling.crop, Pooling.det_masked])
def test_on_a_gpu_each_kernel_is_close_to_the_reference_in_float32(pooling: Pooling) -> None:
    model = encoder(pooling).cuda()
    images, masks = (x.cuda() for x in pictures())
    reference = encode_masked(model, images, masks)
    weight = torch.randn_like(reference)
    parameters = [p for p in model.parameters() if p is not model.embedding.weight]
    theirs = torch.autograd.grad((reference * weight).sum(), parameters)
    for kernel in Kernel:
        model.kernel = kernel
        with torch.autocast("cuda", torch.bfloat16):
            packed = model(images, masks)
        assert (packed - reference).abs().max() < 0.05
        mine = torch.autograd.grad((packed * weight).sum(), parameters)
        for a, b in zip(mine, theirs, strict=True):
            assert (a - b).norm() <= 0.05 * b.norm().clamp(min=1)


@pytest.mark.parametrize("pooling", [Pooling.det, Pooling.det_masked, Pooling.box, Pooling.crop])
def test_all_masks_empty_gives_the_learned_vector_of_each_camera(pooling: Pooling) -> None:
    model = encoder(pooling)
    images, masks = pictures()
    out = model(images, torch.zeros_like(masks))
    assert torch.equal(out, model.pooling.absent.expand(3, -1, -1))  # pyright: ignore[reportAttributeAccessIssue]
    out.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("masking", list(Masking))
def test_masking_decides_which_pixels_matter(masking: Masking) -> None:
    model = encoder(masking=masking)
    images, masks = pictures()
    touched = masks.unflatten(-1, (-1, 8)).unflatten(-3, (-1, 8)).any(-1).any(-2)  # (B, V, rows, columns)
    touched = touched.repeat_interleave(8, -1).repeat_interleave(8, -2)
    seen = touched if masking is Masking.patch else masks
    painted = torch.where(seen[:, :, None], images, 255 - images)
    assert torch.equal(model(images, masks), model(painted, masks))
    if masking is Masking.patch:
        painted = torch.where(masks[:, :, None], images, 255 - images)
        assert not torch.allclose(model(images, masks)[0], model(painted, masks)[0])


def change_where(images: Tensor, where: Tensor) -> Tensor:
    return torch.where(where[:, :, None], 255 - images, images)


def test_masked_pooling_sees_all_pixels_and_averages_the_objects() -> None:
    model = encoder(Pooling.det_masked)
    images, masks = pictures()
    out = model(images, masks)
    seen = masks.flatten(2).any(2)
    moved = (model(change_where(images, ~masks), masks) - out).abs().amax(-1) > 1e-4
    background = ~masks.flatten(2).all(2)
    assert torch.equal(moved, seen & background)
    assert not torch.allclose(out, encoder(Pooling.mean)(images, masks))


def test_a_box_is_all_that_box_pooling_knows_of_the_mask() -> None:
    model = encoder(Pooling.box)
    images, masks = pictures()
    boxes = boxed(masks.flatten(0, 1)).view_as(masks)
    out = model(images, masks)
    assert torch.equal(out, model(images, boxes))
    assert torch.equal(out, model(change_where(images, ~boxes), masks))
    assert torch.allclose(out[0, 0], encoder(Pooling.det)(images, masks)[0, 0], atol=2e-6)  # this mask is a box
    assert not torch.allclose(model(change_where(images, boxes & ~masks), masks)[2, 1], out[2, 1])


def test_a_crop_tells_where_it_was() -> None:
    model = encoder(Pooling.crop)
    images, masks = pictures()
    masks = torch.zeros_like(masks)
    masks[:, :, 20:32, 20:32] = True
    shifted = (images.roll((8, 16), (3, 4)), masks.roll((8, 16), (2, 3)))
    a, b = model.cut(images, masks), model.cut(*shifted)
    assert torch.equal(a.pixels, b.pixels)
    assert not torch.allclose(model(images, masks), model(*shifted))
    with pytest.raises(PolicyError, match="silhouette=false with pooling=crop"):
        EncoderConfig(Pooling.crop, silhouette=False)


def test_a_mask_channel_changes_the_vector_and_hides_nothing() -> None:
    model = encoder(Pooling.channel)
    images, masks = pictures()
    out = model(images, masks)
    assert ((model(images, ~masks) - out).abs().amax(-1) > 1e-4).all()
    assert ((model(255 - images, masks) - out).abs().amax(-1) > 1e-4).all()
    assert model(images, torch.zeros_like(masks)).isfinite().all()


@pytest.mark.parametrize("pooling", TRANSFORMERS)
def test_only_patches_of_the_object_are_capped(pooling: Pooling) -> None:
    images, masks = pictures()
    lengths = encoder(pooling, cap=10).cut(images, masks).lengths
    assert int(lengths.max()) == (10 if pooling in (Pooling.det, Pooling.box) else 64)


@pytest.mark.parametrize("pooling", [Pooling.mean, Pooling.cls, Pooling.attention])
def test_baselines_see_no_mask_and_all_pixels(pooling: Pooling) -> None:
    model = encoder(pooling)
    images, masks = pictures()
    out = model(images, masks)
    assert out.shape == (3, 2, 48)
    assert torch.equal(out, model(images, ~masks))
    changed = images.clone()
    changed[:, :, :, -1, -1] = 255 - changed[:, :, :, -1, -1]
    assert ((model(changed, masks) - out).abs().amax(-1) > 0).all()


@pytest.mark.parametrize("pooling", TRANSFORMERS)
def test_a_picture_does_not_depend_on_its_neighbours(pooling: Pooling) -> None:
    model = encoder(pooling)
    images, masks = pictures()
    together = model(images, masks)
    alone = torch.cat([model(images[i : i + 1], masks[i : i + 1]) for i in range(3)])
    assert (together - alone).abs().max() < 2e-6


@pytest.mark.parametrize("pooling", TRANSFORMERS)
def test_bfloat16_products_change_little_and_fillers_nothing(pooling: Pooling) -> None:
    model = encoder(pooling)
    images, masks = pictures()
    exact = model(images, masks)
    with torch.autocast("cpu", torch.bfloat16):
        rough = model(images, masks)
    assert (exact - rough).abs().max() < 0.05
    rough.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_cameras_are_told_apart() -> None:
    model = encoder()
    images, masks = pictures()
    same = model(images[:, :1].expand(-1, 2, -1, -1, -1), masks[:, :1].expand(-1, 2, -1, -1))
    assert not torch.allclose(same[0, 0], same[0, 1])


def test_a_cap_is_the_same_every_time_and_bounds_the_work() -> None:
    model = encoder(cap=10)
    images, masks = pictures()
    assert int(model.cut(images, masks).lengths.max()) == 10
    assert torch.equal(model(images, masks), model(images, masks))


def test_a_patch_that_does_not_divide_the_picture_is_refused() -> None:
    with pytest.raises(PolicyError, match="patch=7 does not divide pictures of 64x64"):
        Encoder(EncoderConfig(patch=7), 2, (64, 64))
    with pytest.raises(PolicyError, match="patch=12 does not divide crops of 64x64"):
        Encoder(EncoderConfig(Pooling.crop, patch=12), 2, (96, 96))
