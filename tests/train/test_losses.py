"""Losses: zero error costs least, booster heads count their share."""

from __future__ import annotations

import math

import pytest

from mediseg.errors import UsageError

torch = pytest.importorskip("torch")

from mediseg.train.losses import LOSSES, bce_dice, build_loss, focal  # noqa: E402 -- after importorskip

pytestmark = pytest.mark.train

TARGETS = torch.tensor([0.0, 1.0, 1.0, 0.0]).reshape(1, 1, 2, 2)
SURE = 20.0 * (2.0 * TARGETS - 1.0)


def test_bce_dice_by_hand():
    """All logits 0: BCE is ln 2; Dice term 1 - (2 * 0.5 * 2 + 5) / (4 * 0.25 + 2 + 5) = 1/8."""
    found = bce_dice(bce=10.0)(torch.zeros(1, 1, 2, 2), TARGETS)
    assert float(found) == pytest.approx(10.0 * math.log(2.0) + 1.0 / 8.0)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_what_is_right_costs_nothing_and_what_is_wrong_costs(name):
    loss = build_loss(name, {})
    assert float(loss(SURE, TARGETS)) == pytest.approx(0.0, abs=1e-5)
    assert float(loss(-SURE, TARGETS)) > 1.0


def test_boosters_count_their_share():
    wrong = torch.cat([SURE, -SURE, -SURE], dim=1)
    single = float(focal()(-SURE, TARGETS))
    assert float(focal(boosters=0.25)(wrong, TARGETS)) == pytest.approx(0.5 * single)


def test_a_wrong_name_or_weight_is_answered():
    with pytest.raises(UsageError, match=r'no loss "bce_dic" \(did you mean "bce_dice"\?\)'):
        build_loss("bce_dic", {})
    with pytest.raises(UsageError, match=r'loss bce_dice has no setting "dise" \(did you mean "dice"\?\)'):
        build_loss("bce_dice", {"dise": 1.0})


def test_bce_dice_is_lowest_at_the_area_fraction():
    targets = torch.full((1, 1, 8, 8), 0.3)
    at = [bce_dice()(torch.logit(torch.full_like(targets, share)), targets) for share in (0.2, 0.3, 0.4)]
    assert at[1] < min(at[0], at[2])
