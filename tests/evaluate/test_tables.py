import csv
import io
import math

import numpy as np
import pytest

from mediseg.evaluate.repeat import Repeat
from mediseg.evaluate.scoring import Score
from mediseg.evaluate.tables import as_json, by_group, by_variant, scores_csv, statistic, worst


def _pairs(values):
    return [(f"c{n}", v) for n, v in enumerate(values)]


def test_a_statistic_by_hand():
    one = statistic(_pairs([0.9, 0.8, 1.0, 0.7, 0.6]), "high")
    assert (one.n, one.median, one.worst, one.worst_id) == (5, 0.8, 0.6, "c4")
    assert one.mean == pytest.approx(0.8)
    assert one.tail == pytest.approx(0.62)  # a fifth of the way from the lowest to the next
    assert one.mean_low < 0.8 < one.mean_high


def test_signed_measures_keep_the_sign_of_the_mean_and_of_the_worst():
    one = statistic(_pairs([-4.0, 1.0, 2.0]), "zero")
    assert one.mean == pytest.approx(-1 / 3)
    assert (one.median, one.worst, one.worst_id) == (2.0, -4.0, "c0")
    assert one.tail == pytest.approx(3.8)


def test_what_is_infinite_is_counted_apart_and_nan_is_no_case():
    one = statistic(_pairs([1.0, math.inf, math.nan, 3.0]), "low")
    assert (one.n, one.infinite, one.mean, one.worst) == (2, 1, 2.0, 3.0)
    assert math.isnan(one.mean_low)  # two cases have no interval
    none = statistic(_pairs([math.nan]), "low")
    assert (none.n, none.infinite) == (0, 0)
    assert math.isnan(none.mean)


def test_the_interval_of_the_mean_is_that_of_the_normal_for_many_cases():
    values = np.random.default_rng(5).normal(10, 2, 400)
    one = statistic(_pairs(values), "low", seed=1)
    half = 1.96 * values.std() / 20
    assert (one.mean_low, one.mean_high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)
    assert statistic(_pairs(values), "low", seed=1) == one
    assert statistic(_pairs(values), "low", seed=2) != one


SCORES = [
    Score("a", "Pitt", "done", dice=0.9),
    Score("b", "Pitt", "refused", "no callosum", seconds=1.5),
    Score("c", "Olin", "done", dice=0.7),
    Score("d", "Olin", "done", present=False, dice=0.0, found_size=12.0),
    Score("e", "Olin", "refused", present=False),
]


def test_refusals_are_stated_both_ways_and_absent_ones_apart():
    overall, olin, pitt = by_group(SCORES)
    assert [g.name for g in (overall, olin, pitt)] == ["all", "Olin", "Pitt"]
    assert (overall.cases, overall.refused, overall.absent, overall.absent_refused) == (5, 1, 2, 1)
    assert overall.measures["dice"].mean == pytest.approx(0.8)
    assert overall.measures["dice_with_refused_as_0"].mean == pytest.approx(1.6 / 3)
    assert pitt.measures["dice_with_refused_as_0"].worst_id == "b"
    assert [s.id for s in worst(SCORES)] == ["c", "a"]


def test_one_group_has_no_line_of_its_own():
    assert [g.name for g in by_group(SCORES[:2])] == ["all"]


def test_the_csv_is_safe_and_leaves_empty_what_is_unknown():
    rows = list(csv.DictReader(io.StringIO(scores_csv([Score("=cmd()", "-x", "refused", "two\nlines"), *SCORES]))))
    assert rows[0]["id"] == "'=cmd()"
    assert rows[0]["group"] == "'-x"
    assert rows[0]["reason"] == "two lines"
    assert rows[0]["dice"] == ""
    assert (rows[1]["dice"], rows[1]["present"]) == ("0.9", "true")


def test_json_has_null_for_what_is_no_number():
    assert as_json(SCORES[1])["dice"] is None


def test_matrices_are_also_compared_with_the_finest():
    rows = [
        Repeat("a", "", "matrix", "384", "done", angle_change_deg=0.1, dice=0.9),
        Repeat("a", "", "matrix", "256", "done", angle_change_deg=-0.2, dice=0.8),
        Repeat("b", "", "matrix", "384", "refused", "no"),
    ]
    first, second, between = by_variant(rows)
    assert (first.variant, first.cases, first.refused) == ("384", 2, 1)
    assert second.measures["dice"].mean == pytest.approx(0.8)
    assert (between.variant, between.base) == ("256", "matrix 384")
    assert between.measures["angle_change_deg"].worst == pytest.approx(-0.3)
