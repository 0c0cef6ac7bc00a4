"""The callosum's training data: drawn from (seed, step) alone, area fractions that follow the mask."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("monai")

from mediseg.train import callosum, callosum_shapes

pytestmark = pytest.mark.train

BUNDLE = Path(__file__).parents[2] / "models" / "callosum-unet"


def frame():
    """Return a grey disc with a bright bar in it, and the bar: 512 x 512 at 0.5 mm."""
    image, mask = np.zeros((2, 512, 512), np.uint8)
    cv2.circle(image, (256, 256), 180, 90, -1)
    cv2.rectangle(mask, (190, 240), (320, 260), 255, -1)
    return np.maximum(image, mask // 255 * 200).astype(np.uint8), mask


@pytest.fixture
def slices():
    image, mask = frame()
    sites = ("NYU", "Pitt", "USM", "NYU")
    return callosum.Slices(np.stack([image] * 4), np.stack([mask] * 4), ("a", "b", "c", "d"), sites)


def test_a_batch_depends_on_seed_and_step_only(slices):
    first, again = callosum.batches(slices, seed=4), callosum.batches(slices, seed=4)
    first(0)
    for one, other in zip(first(7), again(7), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(callosum.batches(slices, seed=5)(7)[0][0, 0, :9, :9], again(7)[0][0, 0, :9, :9])


def test_windows_and_fractions_have_one_shape_and_range(slices):
    batch = callosum.batches(slices, pixels=2 * 192 * 192)
    for step in range(12):
        windows, targets = batch(step)
        assert windows.shape == targets.shape
        assert windows.shape[-1] % 16 == 0
        assert windows.dtype == targets.dtype == torch.float32
        assert torch.isfinite(windows).all()
        assert windows.min() >= -0.5
        assert windows.max() <= 1.5
        assert targets.min() >= 0
        assert targets.max() <= 1


def test_fractions_keep_the_area_under_turn_and_zoom(slices):
    rng = np.random.default_rng(0)
    whole = 0
    for _ in range(8):
        matrix = callosum.window_affine(rng, 512, 256)
        target = callosum.sampled(slices.masks[0], callosum.bend(rng, slices.masks[0], matrix, (256, 256), share=0.0))
        area = cv2.resize(target, (256, 256), interpolation=cv2.INTER_AREA).sum()
        inside = np.linalg.det(matrix[:, :2]) * area
        if max(target[:, [0, -1]].max(), target[[0, -1]].max()) > 0:
            continue  # the bar leaves the window
        whole += 1
        assert inside == pytest.approx((slices.masks[0] > 0).sum() * 0.25, rel=0.02)
    assert whole >= 4


def test_surround_leaves_the_head_alone():
    image, _ = frame()
    changed = callosum.surround(np.random.default_rng(1), image)
    head = cv2.erode(image, np.ones((25, 25), np.uint8)) > 0
    np.testing.assert_allclose(changed[head].astype(int), image[head], atol=1)
    assert (changed[image == 0] > 0).any()


def test_held_out_sites_are_not_trained_on(slices):
    assert set(callosum.training_part(slices).sites).isdisjoint(callosum.HELD_OUT_SITES)


def test_population_of_a_bar(slices, monkeypatch):
    monkeypatch.setattr(callosum_shapes, "ENOUGH", len(slices.masks))
    found = callosum_shapes.population(slices.masks)
    assert found["area_mm2"] == {"mean": 131 * 21 * 0.25, "sd": 0.0}
    assert found["length_mm"]["mean"] == pytest.approx(65.0)
    assert found["width_mm"]["mean"] == pytest.approx(10.0)


def test_a_few_masks_are_filled_up_with_usual_ones(slices):
    found = callosum_shapes.population(slices.masks[:1])
    mean, sd = callosum_shapes.USUAL["area_mm2"]
    bar = 131 * 21 * 0.25
    assert (found["masks"], found["usual"]) == (1, callosum_shapes.ENOUGH - 1)
    assert found["area_mm2"]["mean"] == pytest.approx((49 * mean + bar) / 50, abs=1e-3)
    assert found["area_mm2"]["sd"] == pytest.approx(sd, rel=0.1)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_wrong_data_folder_says_what_it_must_hold(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"index\.csv, images/ and masks/"):
        callosum.load(tmp_path)


@pytest.mark.skipif(not (BUNDLE / "configs" / "metadata.json").is_file(), reason="no callosum bundle in this checkout")
def test_the_shipped_figures_were_measured_on_the_shipped_file():
    written = json.loads((BUNDLE / "configs" / "metadata.json").read_text(encoding="utf-8"))
    digest = hashlib.sha256((BUNDLE / "models" / "model.onnx").read_bytes()).hexdigest()
    assert written["mediseg"]["sha256"] == digest
    assert written["eval_metrics"]["sha256"] == digest


def test_a_coarser_matrix_smooths_but_moves_nothing():
    y, x = np.mgrid[0:192, 0:320]
    blob = np.exp(-((x - 150.3) ** 2 + (y - 80.7) ** 2) / 200).astype(np.float32)
    stripes = (x % 2).astype(np.float32)
    for seed in range(8):
        seen = callosum.coarser(np.random.default_rng(seed), blob)
        share = seen / seen.sum()
        assert ((share * x).sum(), (share * y).sum()) == pytest.approx((150.3, 80.7), abs=0.05)
        assert float(callosum.coarser(np.random.default_rng(seed), stripes)[20:-20, 20:-20].std()) < 0.1
