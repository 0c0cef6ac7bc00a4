from __future__ import annotations

import numpy as np
import pytest

from mediseg.errors import UsageError
from mediseg.phantom.spine import phantom_spine, spine_grid, spine_truth
from mediseg.phantom.stations import StationPlan, cut_stations, header_error, plan_stations, target_error_mm, true_grid
from tests.spines import whole


def test_another_seed_is_another_person_and_the_same_seed_the_same() -> None:
    grid = spine_grid((4.0, 4.0, 20.0))
    first, again, other = (phantom_spine(grid=grid, seed=seed).array for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.min() >= 0


def test_the_vertebrae_come_from_the_top_and_the_cobb_angle_is_the_lateral_bow() -> None:
    straight, bent = spine_truth(cobb_deg=0), spine_truth(cobb_deg=40)
    assert straight.names[:2] == ("C1", "C2")
    assert straight.names[-1] == "S3"
    assert (np.diff(straight.centers_lps_mm[:, 2]) < 0).all()
    assert np.allclose(straight.centers_lps_mm[:, 0], 0)
    lateral = np.degrees(np.arctan2(bent.directions_lps[:, 0], bent.directions_lps[:, 2]))
    assert np.ptp(lateral) == pytest.approx(40, abs=2)
    assert straight.cobb_deg("T1", "T1") == pytest.approx(0, abs=1e-5)


def test_the_spine_is_bright_where_the_canal_is_and_black_outside() -> None:
    image = whole()
    truth = spine_truth()
    center = truth.centers_lps_mm[truth.names.index("T3")]
    canal = image.geometry.ijk_from_lps(center + np.array([0, 30, 0])).round().astype(int)
    assert image.array[canal[0] - 8 : canal[0] + 2, canal[1], canal[2]].max() > 700
    assert image.array[-1].max() < 700


@pytest.mark.parametrize("degrees", [-1, 61])
def test_an_impossible_bow_is_refused(degrees: float) -> None:
    with pytest.raises(UsageError, match="must be 0 to 60"):
        phantom_spine(cobb_deg=degrees)


def test_a_cut_station_without_faults_is_the_image_itself() -> None:
    plan = StationPlan(340, 150, matrix=(60, 60), slices=1, deep_mm=120)
    cut = cut_stations(whole(), [plan])[0]
    truth = whole().resample(true_grid(plan), order=3).array
    white = np.percentile(whole().array, 99.5)
    assert np.abs(cut.volume.array - np.clip(truth, 0, None)).max() < 1e-4 * white
    assert np.array_equal(cut.true_from_header.matrix, np.eye(4))


def test_a_header_is_off_by_what_the_plan_says_and_errors_add_up() -> None:
    plan = StationPlan(100, 100, shift_mm=(3.0, -4.0, 0.0), turn_deg=90.0)
    moved = header_error(plan).apply([0.0, 0.0, 70.0])
    assert np.allclose(moved, (0, 3, 66))
    cuts = cut_stations(whole(), [StationPlan(340, 100, slices=1), StationPlan(300, 100, shift_mm=(2, 0, 0), slices=1),
                                  StationPlan(260, 100, shift_mm=(3, 0, 0), slices=1)])  # fmt: skip
    assert np.allclose(cuts[2].true_from_header.matrix[:3, 3], (0, -5, 0))
    assert np.allclose(target_error_mm(cuts[2].true_from_header, cuts[2], np.zeros((1, 3))), 0)


def test_gain_and_roll_off_change_what_they_should() -> None:
    plain, loud = (
        cut_stations(whole(), [StationPlan(340, 150, matrix=(40, 41), slices=1, gain=g, roll_off=r)])[0].volume.array
        for g, r in ((1.0, 0.0), (2.0, 0.5))
    )
    where = plain > 100
    ratio = np.where(where, loud / np.where(where, plain, 1), np.nan)
    assert np.nanmedian(ratio[:, 20]) == pytest.approx(2.0, abs=0.01)
    assert np.nanmedian(ratio[:, 0]) == pytest.approx(1.0, abs=0.01)


def test_no_station_at_all_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one station"):
        plan_stations(0)
