from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from mediseg.errors import Code, Refusal
from mediseg.geometry import Geometry, Rigid
from mediseg.phantom.spine import phantom_spine, spine_grid
from mediseg.phantom.stations import StationPlan, cut_stations, target_error_mm, true_grid
from mediseg.results import Stitched
from mediseg.steps.stitch import stitch_stations
from mediseg.steps.stitch.align import Alignment, Limits, Station, _chosen, _gated, align
from mediseg.steps.stitch.refine import Fit
from mediseg.steps.stitch.solve import solved
from mediseg.volume import RotatedROI, Volume
from tests.spines import cuts, stations, whole

SPOILT = {"shift_mm": (9.0, -6.0, 0.0), "turn_deg": 7.0, "gain": 0.6, "gamma": 1.2}


@lru_cache(maxsize=1)
def spoilt() -> Stitched:
    return stitch_stations(stations(**SPOILT))


def flat(value: float, top_mm: float, **more: object) -> Volume:
    plan = StationPlan(top_mm, 200, matrix=(40, 50), slices=3, **more)
    return Volume(np.full(true_grid(plan).shape, value, np.float32), true_grid(plan))


def test_a_moved_turned_dimmed_station_is_put_back() -> None:
    cut = cuts(**SPOILT)[1]
    lower = spoilt().transforms.stations[1]
    assert lower.method == "registered"
    assert target_error_mm(lower.placed_from_header, cut, cut.volume.geometry.corners_lps_mm()).max() < 0.8
    assert spoilt().warnings == ()
    assert spoilt().transforms.pairs[0].step_before > 0.3
    assert spoilt().transforms.pairs[0].step_after < 0.03


def test_the_composite_is_the_uncut_image() -> None:
    made = spoilt().composite
    truth = whole().resample(made.geometry, order=3).array
    valid = np.isfinite(made.array) & (truth > 80)
    error = np.sqrt(np.mean((made.array[valid] - truth[valid]) ** 2)) / np.ptp(truth[valid])
    assert error < 0.03


def test_the_order_of_input_changes_no_bit() -> None:
    there, back = stations(**SPOILT), stations(**SPOILT)[::-1]
    first, second = spoilt(), stitch_stations(back)
    assert np.array_equal(np.nan_to_num(first.composite.array), np.nan_to_num(second.composite.array))
    assert [one.given for one in second.transforms.stations] == [1, 0]
    assert len(there) == 2


@pytest.mark.parametrize("value", [10, 733.25])
@pytest.mark.parametrize("blend", ["feather", "multiband"])
def test_constant_in_constant_out_where_three_overlap(blend: str, value: float) -> None:
    made = stitch_stations([flat(value, 100), flat(value, 60), flat(value, 20, tilt_deg=5)], blend=blend)
    assert np.nanmax(np.abs(made.composite.array - value)) < 1e-6
    total = sum(one.array for one in made.weights.maps)
    inside = made.gaps.labels == 0
    assert np.abs(total[inside] - 1).max() < 1e-6
    assert total[~inside].max() == 0
    assert set(np.unique(made.provenance.labels)) == {0, 1, 2, 3}


def test_a_plain_overlap_is_not_registered_and_told() -> None:
    made = stitch_stations([flat(10, 100), flat(10, -40)])
    assert [warn.code for warn in made.warnings] == [Code.ALIGNMENT_REJECTED]
    assert "NCC" in made.warnings[0].message
    assert np.array_equal(made.transforms.stations[1].placed_from_header.matrix, np.eye(4))


def test_a_gap_is_masked_and_told() -> None:
    made = stitch_stations([flat(10, 300), flat(20, 60)])
    assert [warn.code for warn in made.warnings] == [Code.GAP]
    assert made.warnings[0].detail["gap_mm"] == pytest.approx(40)
    rows = np.isnan(made.composite.array).all(axis=(0, 2))
    assert rows.sum() * made.composite.geometry.spacing_mm[1] == pytest.approx(40, abs=5)
    assert (made.gaps.labels == np.isnan(made.composite.array)).all()
    assert (made.filled.array[np.isnan(made.composite.array)] == 0).all()


def test_another_persons_station_is_not_believed() -> None:
    mine, other = cuts()
    stranger = other.volume.with_array(other.volume.array[::-1, ::-1])
    found = align(Station(mine.volume), Station(stranger), Limits())
    assert found is not None
    assert not found.is_accepted
    assert "NCC" in found.reason


def test_well_placed_stations_stay_where_they_are() -> None:
    first, second = cuts()
    found = align(Station(first.volume), Station(second.volume), Limits())
    assert found is not None
    assert found.is_accepted, found.reason
    assert found.shift_mm < 0.2


def test_thin_slices_are_registered_in_3d() -> None:
    grid = spine_grid((1.6, 1.6, 2.0), width_mm=44.0).crop([20, 0, 0], [110, 150, 22])
    image = phantom_spine(grid=grid)
    look = {"matrix": (80, 64), "deep_mm": 120.0, "slices": 16, "slice_mm": 2.0, "noise": 0.01}
    plans = [StationPlan(340, 110, **look), StationPlan(280, 110, shift_mm=(3, -4, 2), turn_deg=4, seed=1, **look)]
    cut = cut_stations(image, plans)
    found = align(Station(cut[0].volume), Station(cut[1].volume), Limits())
    assert found is not None
    assert found.is_3d
    assert found.is_accepted, found.reason
    assert target_error_mm(found.fixed_from_moving, cut[1], found.points_lps_mm).max() < 0.6


def test_a_station_whose_voxels_run_the_other_way_is_the_same_station() -> None:
    """Turned end for end with a true header: nothing changes."""
    upper, lower = stations(**SPOILT)
    made = stitch_stations([upper, lower.reorient("ASL")], register=False, intensity="gain")
    straight = stitch_stations([upper, lower], register=False, intensity="gain")
    assert np.nanmax(np.abs(made.composite.array - straight.composite.array)) < 0.05


@pytest.mark.parametrize("intensity", ["histogram", "gain", "blocks"])
def test_matching_makes_the_overlap_agree(intensity: str) -> None:
    made = stitch_stations(stations(gain=0.5), register=False, intensity=intensity)
    pair = made.transforms.pairs[0]
    assert pair.step_before > 0.8
    assert pair.step_after < 0.03
    assert made.transforms.stations[1].gain == pytest.approx(2.0, rel=0.03)


def test_without_matching_the_seam_is_told() -> None:
    made = stitch_stations(stations(gain=0.5), register=False, intensity="none")
    assert Code.SEAM in [warn.code for warn in made.warnings]


def test_roll_off_is_evened_out() -> None:
    made = stitch_stations([cut.volume for cut in cuts(roll_off=0.4)], register=False)
    plain = stitch_stations([cut.volume for cut in cuts(roll_off=0.4)], register=False, shading=False)
    assert made.transforms.pairs[0].step_after < 0.5 * plain.transforms.pairs[0].step_after


def test_what_one_station_loses_towards_the_front_is_evened_out() -> None:
    lost, plain = cuts(front_loss=0.5), cuts()
    made = stitch_stations([cut.volume for cut in lost], register=False)
    bare = stitch_stations([cut.volume for cut in lost], register=False, shading=False)
    straight = stitch_stations([cut.volume for cut in plain], register=False)
    assert bare.transforms.pairs[0].step_after > 3 * straight.transforms.pairs[0].step_after
    assert made.transforms.pairs[0].step_after < 1.3 * straight.transforms.pairs[0].step_after
    lower = made.transforms.stations[1].shading
    assert lower[4] > 0.1  # brighter towards the back, on its way from front (-1) to back (1)


def test_a_rotated_roi_keeps_millimetres() -> None:
    turn = np.radians(20)
    axes = np.array([[0, 0, -1.0], [np.cos(turn), np.sin(turn), 0], [np.sin(turn), -np.cos(turn), 0]])
    roi = RotatedROI(np.array([0, 0, 200.0]), axes, (120, 300, 8), None)
    made = stitch_stations(stations(), register=False, roi=roi).composite
    assert np.allclose(made.geometry.axes_lps, axes)
    assert np.allclose(made.geometry.center_lps_mm, roi.center_lps_mm)
    extent = np.array(made.geometry.shape) * made.geometry.spacing_mm
    assert np.abs(extent[:2] - (120, 300)).max() <= made.geometry.spacing_mm[0] / 2
    truth = whole().resample(made.geometry, order=3).array
    valid = np.isfinite(made.array) & (truth > 80)
    assert np.corrcoef(made.array[valid], truth[valid])[0, 1] > 0.98


def test_an_roi_off_the_stations_is_refused() -> None:
    roi = RotatedROI(np.array([0, 0, 5000.0]), np.eye(3)[:, [1, 2, 0]], (50, 50, 4), None)
    with pytest.raises(Refusal, match="no station reaches the ROI"):
        stitch_stations([flat(10, 100), flat(10, 0)], register=False, roi=roi)


def test_the_reference_may_be_chosen() -> None:
    made = stitch_stations(stations(gain=0.5), register=False, reference=2, intensity="gain")
    assert [one.method for one in made.transforms.stations] == ["header", "reference"]
    assert made.transforms.stations[0].gain == pytest.approx(0.5, rel=0.03)


def test_what_cannot_be_stitched_is_refused() -> None:
    one = flat(10, 100)
    elsewhere = replace(one, geometry=replace(one.geometry, frame_of_reference="1.2"))
    here = replace(one, geometry=replace(one.geometry, frame_of_reference="1.3"))
    coronal = Geometry.from_axes((9, 9, 3), [[1, 0, 0], [0, 0, 1], [0, -1, 0]], (4, 4, 4), center_lps_mm=(0, 0, 0))
    axial = Volume(np.ones((9, 9, 3), np.float32), Geometry((9, 9, 3), np.diag([4.0, 4, 4, 1])))
    holey = one.with_array(np.where(np.arange(50)[None, :, None] == 3, np.nan, one.array))
    for volumes, words in (
        ([one], "one station only"),
        ([here, elsewhere], "different frames of reference"),
        ([one, Volume(np.ones((9, 9, 3), np.float32), coronal)], "90 degrees apart"),
        ([axial, axial], "axial"),
        ([one, holey], "NaN"),
        ([one] * 13, "more than 12"),
    ):
        with pytest.raises(Refusal, match=words):
            stitch_stations(volumes)


def shifted(z: float) -> Rigid:
    matrix = np.eye(4)
    matrix[2, 3] = z
    return Rigid(matrix)


def found(z: float, reason: str = "") -> Alignment:
    corners = np.array([[x, y, h] for x in (-5.0, 5) for y in (-50.0, 50) for h in (-20.0, 20)])
    return Alignment(shifted(z), 0.1, 0.9, abs(z), 0.0, 0.0, 0.0, 0.0, False, corners, reason)


def test_alignments_add_up_along_the_chain_from_any_anchor() -> None:
    pairs = {(0, 1): found(2), (1, 2): found(3)}
    placed, reached = solved(3, pairs, 0)
    assert [float(m.matrix[2, 3]) for m in placed] == pytest.approx([0, 2, 5])
    assert reached == {0, 1, 2}
    assert [float(m.matrix[2, 3]) for m in solved(3, pairs, 2)[0]] == pytest.approx([-5, -3, 0])


def test_what_does_not_close_is_spread() -> None:
    placed, _ = solved(3, {(0, 1): found(2), (1, 2): found(3), (0, 2): found(5.9)}, 0)
    assert float(placed[1].matrix[2, 3]) == pytest.approx(2.3, abs=0.01)
    assert float(placed[2].matrix[2, 3]) == pytest.approx(5.6, abs=0.01)


def test_a_rejected_station_keeps_its_headers_place_beside_its_neighbour() -> None:
    placed, reached = solved(3, {(0, 1): found(2), (1, 2): found(30, "too far")}, 0)
    assert [float(m.matrix[2, 3]) for m in placed] == pytest.approx([0, 2, 2])
    assert reached == {0, 1}


def fit(z: float, ncc: float, points: int) -> Fit:
    return Fit(shifted(z), ncc, points)


def test_a_longer_overlap_slid_by_a_vertebra_gives_way_to_one_that_agrees_far_better() -> None:
    """A pair cut from a real template, 25 mm of overlap: once flagged, for only the first went to the gate."""
    slid, true = fit(26, 0.83, 2888), fit(0, 0.94, 1252)
    assert slid.score > true.score
    assert _chosen([slid, fit(26.5, 0.82, 2888), true], np.zeros(3), Limits()) == (true, 0.83)


def test_a_little_more_agreement_does_not_outdo_a_longer_overlap() -> None:
    """1 - 0.90 is not 1.8 times less than 1 - 0.83: neither is certain, and the gate hears of the rival."""
    long, short = fit(26, 0.83, 2888), fit(0, 0.90, 1252)
    assert _chosen([long, short], np.zeros(3), Limits()) == (long, 0.90)
    assert "another placement" in _gated(replace(found(2), ncc_after=0.83, rival_ncc=0.90), Limits()).reason


def test_one_vertebra_off_does_not_outdo_two_where_nothing_true_is_shared() -> None:
    two, one = fit(53, 0.65, 6000), fit(26, 0.85, 3000)
    assert _chosen([two, one], np.zeros(3), Limits()) == (two, 0.85)


def test_fits_that_end_at_one_place_are_no_rivals() -> None:
    best = fit(0, 0.83, 2888)
    assert _chosen([best, fit(1, 0.95, 1252)], np.zeros(3), Limits()) == (best, 0.0)
    assert _chosen([best], np.zeros(3), Limits()) == (best, 0.0)


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        ({}, ""),
        # another person, slid by a vertebra: once accepted (13.7 mm off) at a least NCC of 0.6 and 1.5 mm for quarters
        (
            {"ncc_after": 0.723, "block_mm": 1.215},
            "little (NCC 0.72); parts of the overlap want to lie 1.2 mm",
        ),
        # bodies that share 2 mm under headers that share 25, slid by a vertebra: once accepted at a least NCC of 0.75
        ({"ncc_after": 0.755, "rival_ncc": 0.551, "block_mm": 0.551}, "the overlap agrees too little (NCC 0.7"),
        ({"ncc_before": 0.95}, "less than where the headers put it"),
        ({"shift_mm": 31.0}, "a shift of 31.0 mm"),
        ({"angle_deg": 21.0}, "a turn of 21.0 degrees"),
        ({"rival_ncc": 0.85}, "another placement agrees as well (NCC 0.85)"),
        ({"round_trip_mm": 0.6}, "there and back ends 0.6 mm off"),
    ],
)
def test_the_gate_gives_every_reason(numbers: dict[str, float], reason: str) -> None:
    gated = _gated(replace(found(2), **numbers), Limits())
    assert reason in gated.reason
    assert gated.is_accepted == (not reason)
