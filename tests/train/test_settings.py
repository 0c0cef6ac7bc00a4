"""Settings of a configuration are the arguments of the function that takes them."""

from __future__ import annotations

import pytest

from mediseg.errors import UsageError
from mediseg.train.settings import take


def batches(data, seed=0, *, gentle=0.3, pixels=9, bent=True):
    return data, seed, gentle, pixels, bent


def test_what_fits_is_taken():
    assert take(batches, {"gentle": 1, "pixels": 4, "bent": False}, "augmentation") == {
        "gentle": 1, "pixels": 4, "bent": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"gentel": 0.1}, r'augmentation has no setting "gentel" \(did you mean "gentle"\?\)'),
        ({"data": 1}, 'augmentation has no setting "data"'),
        ({"seed": 1}, 'augmentation has no setting "seed"'),
        ({"gentle": "much"}, 'augmentation.gentle must be a number, not "much"'),
        ({"pixels": 0.5}, 'augmentation.pixels must be a whole number, not "0.5"'),
        ({"bent": 1}, 'augmentation.bent must be true or false, not "1"'),
    ],
)
def test_what_does_not_fit_is_refused(given, message):
    with pytest.raises(UsageError, match=message):
        take(batches, given, "augmentation", but=("seed",))
