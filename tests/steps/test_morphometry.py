import numpy as np
import pytest

from mediseg import Refusal
from mediseg.steps.morphometry import SCHEMES, measure_callosum
from tests.shapes import arch, callosum_of, soft_bar


def test_a_bar_measures_what_was_drawn():
    found = measure_callosum(callosum_of(soft_bar((200, 240), 0.5, 70, 10, 8.0), 0.5))
    assert found["area"].value == pytest.approx(700, rel=5e-3)
    assert found["perimeter"].value == pytest.approx(160, rel=0.01)
    assert found["length"].value == pytest.approx(70, abs=0.4)
    assert found["circularity"].value == pytest.approx(4 * np.pi * 700 / 160**2, rel=0.02)
    assert {m.unit for m in found.values} == {"mm2", "mm", "1"}


def test_an_arch_is_as_thick_as_it_was_drawn():
    found = measure_callosum(callosum_of(arch(thickness_mm=8.0), 0.5))
    assert found.thickness_mm.shape == (100,)
    assert found.thickness_mm[15:-15] == pytest.approx(8.0, abs=0.15)
    assert found["medial_line_length"].value == pytest.approx(np.pi * 32, rel=0.03)


def test_medial_line_lies_in_patient_space_from_front_to_back():
    found = measure_callosum(callosum_of(arch(), 0.5))
    y = found.medial_line_lps_mm[:, 1]
    assert y[0] < -25
    assert y[-1] > 25
    assert found.medial_line_lps_mm[:, 0] == pytest.approx(0, abs=1e-6)
    assert found.medial_line_lps_mm[50, 2] == pytest.approx(32, abs=0.8)  # top of the arch


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
def test_parts_of_a_bar_follow_the_schemes_fractions(scheme):
    found = measure_callosum(callosum_of(soft_bar((120, 240), 0.5, 72, 12, 0.0), 0.5), parts=scheme)
    edges = [0.0, *[fraction for _, fraction in SCHEMES[scheme]]]
    expected = np.diff(edges) * 72 * 12
    areas = [m.value for m in found.values if m.name.startswith(f"area_{scheme}_")]
    assert areas == pytest.approx(expected, rel=0.02)
    assert sum(areas) == pytest.approx(found["area"].value, rel=1e-6)
    assert set(np.unique(found.parts.labels)) == {0, 1, 2, 3, 4, 5}
    counts = [np.count_nonzero(found.parts.labels == n) * 0.25 for n in range(1, 6)]
    assert counts == pytest.approx(expected, rel=0.06)


def test_parts_lie_on_the_masks_own_grid():
    callosum = callosum_of(arch(), 0.5)
    found = measure_callosum(callosum)
    assert found.parts.geometry.same_grid(callosum.mask.geometry)
    assert np.array_equal(found.parts.mask(), callosum.mask.mask())


def test_measures_hardly_depend_on_the_matrix():
    fine = measure_callosum(callosum_of(arch(0.5), 0.5))
    coarse = measure_callosum(callosum_of(arch(1.0), 1.0))
    assert coarse["area"].value == pytest.approx(fine["area"].value, rel=0.02)
    assert coarse["thickness_mean"].value == pytest.approx(fine["thickness_mean"].value, rel=0.03)


def test_too_little_to_measure_is_refused():
    speck = np.zeros((40, 40))
    speck[20, 20] = 1
    with pytest.raises(Refusal, match="too small to measure"):
        measure_callosum(callosum_of(speck, 0.5))


def test_every_value_says_how_it_was_made():
    assert all(m.method for m in measure_callosum(callosum_of(arch(), 0.5)).values)
