"""Painting label maps: deterministic by seed, means as asked, sides alike."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from mediseg.train.painting import (
    LEFT_OF_RIGHT,
    PRIORS,
    TISSUE,
    TISSUE_OF_LABEL,
    Palette,
    brain_labels,
    draw_contrast,
    draw_palette,
    paint,
)

DATA = Path(os.environ.get("MEDISEG_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


def _flat(means: dict[int, float], spread: float = 0.0) -> Palette:
    palette = Palette(np.zeros(256, np.float32), np.zeros(256, np.float32))
    for label, mean in means.items():
        palette.means[label], palette.spreads[label] = mean, spread
    return palette


def test_a_label_without_spread_gets_exactly_its_mean():
    labels = np.array([[0, 2], [3, 2]], np.uint8)
    image = paint(labels, _flat({2: 0.75, 3: 0.5}), np.random.default_rng(0))
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image, np.array([[0.0, 0.75], [0.5, 0.75]], np.float32))


def test_mean_and_spread_of_a_large_region_are_as_asked():
    labels = np.full((40, 40, 40), 3, np.uint8)
    image = paint(labels, _flat({3: 0.4}, spread=0.05), np.random.default_rng(1))
    assert image.mean() == pytest.approx(0.4, abs=0.001)
    assert image.std() == pytest.approx(0.05, abs=0.001)


def test_an_empty_map_stays_empty():
    assert paint(np.zeros((0, 3), np.uint8), _flat({2: 1.0}), np.random.default_rng(0)).shape == (0, 3)
    assert not paint(np.zeros((4, 4), np.uint8), _flat({2: 1.0}), np.random.default_rng(0)).any()


@pytest.mark.parametrize("contrast", [*PRIORS, "random"])
def test_a_palette_depends_on_the_seed_alone(contrast):
    first = draw_palette(np.random.default_rng(5), contrast)
    draw_palette(np.random.default_rng(6), contrast)
    again = draw_palette(np.random.default_rng(5), contrast)
    other = draw_palette(np.random.default_rng(7), contrast)
    np.testing.assert_array_equal(first.means, again.means)
    np.testing.assert_array_equal(first.spreads, again.spreads)
    assert (first.means != other.means).any()


@pytest.mark.parametrize("contrast", [*PRIORS, "random"])
def test_both_sides_are_painted_alike_and_air_stays_black(contrast):
    palette = draw_palette(np.random.default_rng(3), contrast)
    for right, left in LEFT_OF_RIGHT.items():
        assert palette.means[right] == palette.means[left] > 0
        assert palette.spreads[right] == palette.spreads[left]
    assert palette.means[0] == palette.spreads[0] == 0


def test_t1_paint_is_t1_like_on_average():
    draws = [draw_palette(np.random.default_rng(seed), "t1").means for seed in range(40)]
    white, grey, fluid = (float(np.mean([d[label] for d in draws])) for label in (2, 3, 4))
    assert white > grey > fluid


def test_contrasts_are_drawn_as_often_as_said():
    rng = np.random.default_rng(0)
    drawn = [draw_contrast(rng) for _ in range(2000)]
    assert drawn.count("t1") / 2000 == pytest.approx(0.35, abs=0.04)
    assert drawn.count("random") / 2000 == pytest.approx(0.41, abs=0.04)
    assert set(drawn) == {*PRIORS, "random"}


def test_every_tissue_has_a_prior_and_no_label_two_tissues():
    assert all(set(prior) == set(TISSUE) for prior in PRIORS.values())
    assert sum(len(labels) for labels in TISSUE.values()) == len(TISSUE_OF_LABEL)


@pytest.mark.shared
def test_labels_and_brain_are_those_of_the_table():
    table = DATA / "labelmaps" / "labels.csv"
    if not table.is_file():
        pytest.skip(f"no label table at {table}: set MEDISEG_TEST_DATA")
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    named = {int(row["value_in_file"]) for row in rows} - {0}
    assert named == set(TISSUE_OF_LABEL) | set(LEFT_OF_RIGHT)
    assert {int(row["value_in_file"]) for row in rows if row["brain_mask"] == "1"} == set(brain_labels().tolist())
