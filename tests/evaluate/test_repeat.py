import numpy as np
import pytest

from mediseg.errors import Refusal, UsageError
from mediseg.evaluate import repeat
from mediseg.evaluate.metrics import roi_axis
from mediseg.evaluate.repeat import KINDS, kinds_of, repeated, variants
from mediseg.evaluate.scoring import Judged, Score
from mediseg.results import Callosum, Frame
from mediseg.volume import Segment, Segmentation
from tests.shapes import arch, callosum_of, face_left_volume


@pytest.fixture(scope="module")
def first():
    """An arch of 1000 on 100, whose callosum and reference are the arch itself."""
    shape = np.roll(arch(0.5), (-10, 8), (0, 1))
    callosum = callosum_of(shape, 0.5)
    image = face_left_volume(100 + 900 * shape, 0.5)
    center, axis, _ = roi_axis(callosum)
    score = Score("a", "", "done", dice=1.0)
    return Judged(score, image, callosum.mask, callosum.mask, callosum, Frame(center, axis))


@pytest.fixture
def by_threshold(monkeypatch):
    """A step in place of the network: brightness is the probability."""

    def segment(image, *, model):
        low, high = np.percentile(image.array, (50, 99.5))
        probability = image.with_array(np.clip((image.array - low) / (high - low), 0, 1).astype(np.float32))
        mask = Segmentation((probability.array >= 0.5).astype(np.uint8), image.geometry, (Segment(1, "c"),))
        center, axis, _ = roi_axis(Callosum(mask, probability))
        return Callosum(mask, probability, acpc=Frame(center, axis))

    monkeypatch.setattr(repeat, "segment_callosum", segment)


@pytest.mark.parametrize("seed", range(3))
def test_a_turned_or_coarser_slice_comes_back_to_where_it_was(first, by_threshold, seed):
    rows = list(repeated(first, ("rotation", "matrix", "turned"), "any", seed))
    assert [(row.kind, row.variant) for row in rows] == [
        ("rotation", ""), ("matrix", "384"), ("matrix", "256"), ("matrix", "192"), ("turned", ""),
    ]  # fmt: skip
    for row in rows:
        assert row.status == "done"
        assert row.dice_to_first > 0.97, row
        assert row.dice == row.dice_to_first
        assert abs(row.angle_change_deg) < 0.15, row
        assert row.center_change_mm < 0.15, row
        assert row.acpc_angle_error_deg == pytest.approx(row.angle_change_deg, abs=1e-6)
        assert row.acpc_midpoint_error_mm == pytest.approx(row.center_change_mm, abs=1e-6)


def test_the_step_sees_the_slice_turned_by_what_is_taken_back(first):
    (variant,) = variants(first.image, ("rotation",), "a", 0)
    seen, image = variant.seen, first.image
    assert seen.geometry.shape == image.geometry.shape
    assert seen.geometry.spacing_mm == pytest.approx(image.geometry.spacing_mm)
    assert np.allclose(seen.geometry.axes_lps, image.geometry.axes_lps)
    turn = np.degrees(np.arccos(variant.true.axes_lps[:, 0] @ seen.geometry.axes_lps[:, 0]))
    assert 0.1 < turn <= 25
    assert 1 / 1.18 <= variant.true.spacing_mm[0] / 0.5 <= 1 / 0.85
    assert np.abs(variant.true.center_lps_mm - image.geometry.center_lps_mm).max() <= 25


def test_variants_depend_on_seed_and_id_and_on_nothing_else(first):
    def arrays(kinds, identity="a", seed=0):
        return {v.kind: v.seen.array for v in variants(first.image, kinds, identity, seed)}

    everything, alone = arrays(KINDS), arrays(("noise",))
    assert np.array_equal(everything["noise"], alone["noise"])
    assert not np.array_equal(alone["noise"], arrays(("noise",), "b")["noise"])
    assert not np.array_equal(alone["noise"], arrays(("noise",), seed=1)["noise"])


def test_contrast_keeps_the_order_of_grey_levels(first):
    (variant,) = variants(first.image, ("contrast",), "a")
    before, after = first.image.array.ravel(), variant.seen.array.ravel()
    ranks = np.argsort(before, kind="stable")
    assert (np.diff(after[ranks]) >= -1e-3).all()
    assert not np.allclose(np.corrcoef(before, after)[0, 1], 1, atol=1e-4)


def test_a_matrix_is_never_finer_than_the_slice():
    image = face_left_volume(np.random.default_rng(0).random((256, 256)), 1.0)
    assert [v.seen.geometry.shape for v in variants(image, ("matrix",), "a")] == [(192, 192, 1)]


def test_a_refused_variant_is_a_row_of_its_own(first, monkeypatch):
    def refuse(image, *, model):
        raise Refusal("no corpus callosum\nfound")

    monkeypatch.setattr(repeat, "segment_callosum", refuse)
    (row,) = repeated(first, ("noise",), "any")
    assert (row.status, row.reason) == ("refused", "no corpus callosum found")
    assert np.isnan(row.dice)


def test_nothing_is_repeated_where_nothing_was_found(first):
    assert list(repeated(Judged(Score("a", "", "refused")), KINDS, "any")) == []


def test_kinds_are_checked():
    assert kinds_of("noise, rotation,noise") == ("noise", "rotation")
    assert kinds_of("") == ()
    with pytest.raises(UsageError, match=r'no perturbation "rotate" \(did you mean "rotation"\?\)'):
        kinds_of("rotate")
