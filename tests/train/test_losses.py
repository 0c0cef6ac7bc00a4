"""Losses: zero error costs least, booster heads count their share."""

from __future__ import annotations

import math

import pytest

from mediseg.errors import UsageError

torch = pytest.importorskip("torch")

from mediseg.train.losses import LOSSES, axis_error, bce_dice, build_loss, focal

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


def bar(angle_deg, centre=(32.0, 32.0), size=64):
    """Return a soft bar of about 40 x 8 pixels through ``centre`` (x, y), its right end lower by the angle."""
    y, x = torch.meshgrid(torch.arange(size) - centre[1], torch.arange(size) - centre[0], indexing="ij")
    turn = math.radians(angle_deg)
    along, across = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
    return (torch.sigmoid(20 - along.abs()) * torch.sigmoid(4 - across.abs()))[None, None]


def test_axis_error_is_the_turn_and_the_way():
    """2 degrees: 2 - 1/2 by Huber; 3 pixels: 3 - 1/2; half a degree: 1/8."""
    assert float(axis_error(bar(12.0), bar(10.0))) == pytest.approx(1.5, abs=0.02)
    assert float(axis_error(bar(10.0, (35.0, 32.0)), bar(10.0))) == pytest.approx(2.5, abs=0.02)
    assert float(axis_error(bar(10.5), bar(10.0))) == pytest.approx(0.125, abs=0.01)
    assert float(axis_error(bar(91.0), bar(-88.0))) == pytest.approx(0.5, abs=0.01), "angles go round at 180 degrees"


def test_axis_error_leaves_out_what_has_no_axis():
    nothing, some = torch.zeros(1, 1, 64, 64), bar(10.0)
    assert float(axis_error(torch.cat([nothing, bar(12.0)]), torch.cat([some, some]))) == pytest.approx(1.5, abs=0.02)
    logits = torch.full((2, 1, 64, 64), -9.0, requires_grad=True)
    bce_dice(axis=1.0)(logits, torch.cat([nothing, some])).backward()
    assert torch.isfinite(logits.grad).all()


def test_the_axis_counts_its_weight():
    logits, targets = torch.logit(bar(12.0).clamp(1e-4, 1 - 1e-4)), bar(10.0)
    more = float(bce_dice(axis=0.4)(logits, targets)) - float(bce_dice()(logits, targets))
    assert more == pytest.approx(0.4 * 1.5, abs=0.02)
