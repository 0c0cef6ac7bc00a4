"""Batches made ahead come in order, and fail at their own step."""

from __future__ import annotations

import threading

import pytest

from mediseg.train.prefetch import ahead


@pytest.mark.parametrize("depth", [0, 1, 3, 20])
def test_the_order_is_that_of_the_steps(depth):
    with ahead(lambda step: step * step, range(3, 10), depth) as made:
        assert list(made) == [9, 16, 25, 36, 49, 64, 81]


def test_no_steps_give_no_batches():
    with ahead(lambda step: step, range(5, 5), 2) as made:
        assert list(made) == []


def test_batches_are_made_before_they_are_asked_for():
    third = threading.Event()

    def batch(step):
        if step == 2:
            third.set()
        return step

    with ahead(batch, range(9), 2) as made:
        assert next(made) == 0
        assert third.wait(300)  # at once, but when its thread gets a processor


def test_an_error_comes_at_its_own_step():
    def batch(step):
        if step == 2:
            raise ValueError("step 2 is bad")
        return step

    with ahead(batch, range(5), 3) as made:
        assert [next(made), next(made)] == [0, 1]
        with pytest.raises(ValueError, match="step 2 is bad"):
            next(made)


def test_what_was_not_asked_for_is_dropped_at_the_end():
    seen = []
    with ahead(seen.append, range(1000), 2) as made:
        next(made)
    assert len(seen) < 10
