import cv2
import numpy as np
import pytest

from mediseg.numerics.facing import BINS, asymmetry, facing
from tests.shapes import arch


def _comma(rows=120, columns=200):
    """A bar with a knob that hangs down at its left end."""
    mask = np.zeros((rows, columns))
    mask[40:56, 20:180] = 1
    mask[56:80, 20:60] = 1
    return mask


def test_a_mirrored_mask_has_the_other_sign():
    one, other = asymmetry(_comma(), 0.5), asymmetry(_comma()[:, ::-1], 0.5)
    assert one.shape == (3 * BINS // 2,)
    assert one == pytest.approx(-other, abs=1e-12)
    assert np.abs(one).max() > 0.1


def test_a_symmetric_arch_says_nothing():
    assert facing(arch(), 0.5) == pytest.approx(0, abs=0.05)


def test_where_and_how_large_the_mask_is_changes_nothing():
    mask = _comma()
    assert asymmetry(np.roll(mask, (15, 11), (0, 1)), 0.5) == pytest.approx(asymmetry(mask, 0.5), abs=1e-12)
    assert asymmetry(mask, 0.7) == pytest.approx(asymmetry(mask, 0.5), abs=1e-12)


def test_one_pixel_gives_a_number():
    assert np.isfinite(facing(np.ones((1, 1)), 1.0))


@pytest.mark.shared
def test_real_masks_face_left(shared_data):
    paths = sorted((shared_data / "cc_msp" / "masks").glob("*.png"))[::20]
    masks = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) > 0 for path in paths]
    assert min(facing(mask.astype(float), 0.5) for mask in masks) > 0.05
    assert max(facing(mask[:, ::-1].astype(float), 0.5) for mask in masks) < -0.05
