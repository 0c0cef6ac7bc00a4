from dataclasses import replace

import numpy as np
import pytest

from mediseg.geometry import Geometry
from mediseg.report import figures as fig
from mediseg.report import svg
from mediseg.results import Estimate, SliceGroup

# a transversal group of three slices at z = -10, 0, 10, 40 x 60 mm
GROUP = SliceGroup(
    "transversal", (1, 0, 0, 0, 1, 0), (-19.5, -29.5, -10), (0, 0, 0), (0, 0, 1), 3, 8.0, 2.0, (40, 60), 1.0, "ROW", "T"
)  # fmt: skip


def coronal_view():
    """100 x 80 mm, left to the right, top up, middle at 0."""
    axes = np.column_stack([(1, 0, 0), (0, 0, -1), (0, 1, 0)])
    return fig.View(Geometry.from_axes((100, 80, 1), axes, (1, 1, 1), center_lps_mm=(0, 0, 0)))


def transversal_view(z=1.0):
    return fig.View(Geometry.from_axes((100, 80, 1), np.eye(3), (1, 1, 1), center_lps_mm=(0, 0, z)))


def test_path_is_short_and_never_minus_zero():
    assert svg.path([(0.004, -0.004), (1.5, 2)], closed=True) == "M0 0L1.5 2Z"
    assert svg.path([(10, 20), (30, 40.26)], digits=1) == "M10 20L30 40.3"


def test_corners_of_an_estimate_turn_with_the_angle():
    # positive: the posterior (right) end lies lower
    corners = svg.estimate_corners(Estimate((0.0, 0.0), 90.0, (20.0, 10.0)), (100, 50))
    assert corners == pytest.approx(np.array([[105, 40], [105, 60], [95, 60], [95, 40]]))
    line = svg.estimate_corners(Estimate((1.0, 2.0), 45.0, (2 * 2**0.5, 0.0)), (0, 0))
    assert line == pytest.approx(np.array([[0, 1], [2, 3]]))


def test_slices_start_at_the_first():
    assert svg.slice_corners_lps_mm(GROUP, 0).tolist() == [
        [-20, -30, -10],
        [20, -30, -10],
        [20, 30, -10],
        [-20, 30, -10],
    ]
    assert svg.slice_corners_lps_mm(GROUP, 2)[:, 2].tolist() == [10] * 4


def test_a_group_is_drawn_as_lines_where_it_cuts_the_picture():
    layer = svg.group_layer(GROUP, coronal_view(), font=5)
    lines = [p for p in layer.paths if p.style != "slab"]
    assert layer.key == "plan-transversal"
    assert [p.style for p in lines] == ["edge", "", "edge"]
    # z = -10 lies 10 mm below the middle (y = 50); x from 50 - 20 to 50 + 20
    assert sorted(lines[0].d.removeprefix("M").split("L")) == ["30 50", "70 50"]
    assert [label.text for label in layer.labels] == ["1", "3"]
    assert all(label.x > 70 for label in layer.labels)


def test_a_group_along_the_picture_is_drawn_as_its_field_of_view():
    layer = svg.group_layer(GROUP, transversal_view(), font=5)
    assert [p.style for p in layer.paths] == ["fov"]
    assert layer.paths[0].d == "M30 10L70 10L70 70L30 70Z"
    assert layer.labels == ()


def test_a_group_that_misses_the_picture_is_not_drawn():
    away = replace(GROUP, center_lps_mm=(0, 500, 0), image_position_mm=(-19.5, 470.5, -10))
    assert svg.group_layer(away, coronal_view(), font=5) is None


def test_one_slice_is_numbered_once():
    layer = svg.group_layer(replace(GROUP, slices=1, image_position_mm=(-19.5, -29.5, 0)), coronal_view(), font=5)
    assert [label.text for label in layer.labels] == ["1"]


def test_many_slices_are_thinned_but_keep_their_ends():
    many = replace(GROUP, slices=101, thickness_mm=0.5, gap_mm=0.0, image_position_mm=(-19.5, -29.5, -25))
    layer = svg.group_layer(many, coronal_view(), font=5, most_lines=20)
    drawn = [p for p in layer.paths if p.style != "slab"]
    assert len(drawn) <= 20
    assert drawn[0].style == drawn[-1].style == "edge"
    assert [label.text for label in layer.labels] == ["1", "101"]


def test_letters_stand_at_their_edges():
    layer = svg.orientation_layer(coronal_view(), 100, 80, 5)
    left, right, top, bottom = layer.labels
    assert [label.text for label in (left, right, top, bottom)] == ["R", "L", "S", "I"]
    assert left.x < 10
    assert right.x > 90
    assert top.y < 10
    assert bottom.y > 70


def test_scale_bar_has_the_length_that_it_says():
    layer = svg.scale_layer(200, 100, 8)
    x = [float(part.split(" ")[0]) for part in layer.paths[0].d[1:].split("L")]
    assert max(x) - min(x) == 50
    assert layer.labels[0].text == "50 mm"


@pytest.mark.parametrize(("largest", "step"), [(12, 2), (6, 1), (0.9, 0.2), (55, 10), (0, 1.0), (float("nan"), 1.0)])
def test_ticks_are_round(largest, step):
    assert svg.nice_step(largest) == pytest.approx(step)


def test_profile_reaches_from_edge_to_edge():
    chart = svg.profile_chart([0.0, 10.0], [(0, 1, 3, "all")], "alt")
    inner = chart.height - chart.top - chart.bottom
    assert chart.curve == f"M{chart.left:g} {chart.top + inner:g}L{chart.width - chart.right:g} {chart.top:g}"
    assert [text for _, text in chart.y_ticks] == ["0", "2", "4", "6", "8", "10"]
    assert chart.bands == ((chart.left, chart.width - chart.left - chart.right, 3, "all"),)


def test_profile_breaks_where_a_value_is_missing():
    chart = svg.profile_chart([1, 2, np.nan, 2, 1], [], "alt")
    assert chart.curve.count("M") == 2
    assert "nan" not in chart.curve + chart.area


def test_profile_of_nothing_draws_no_curve():
    chart = svg.profile_chart([np.nan, np.nan], [], "alt")
    assert (chart.curve, chart.area) == ("", "")
