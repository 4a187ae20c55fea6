"""Figures and their intervals, by hand."""

import math

import pytest

from rule_jax.reporting.figures import Figure, apart, mean_of, of_questions, of_runs
from rule_jax.reporting.vocabulary import side


def share(value, low, high, n=10):
    return Figure(value, n, low, high, f"{100 * value:.1f}%")


def test_the_mean_of_shares_adds_squared_distances():
    found = mean_of([share(0.8, 0.7, 0.85), share(0.4, 0.3, 0.6)])
    assert found is not None
    assert found.value == pytest.approx(0.6)
    assert found.low == pytest.approx(0.6 - math.hypot(0.1, 0.1) / 2)
    assert found.high == pytest.approx(0.6 + math.hypot(0.05, 0.2) / 2)
    assert (found.n, found.text) == (20, "60.0%")
    unknown = mean_of([share(0.8, 0.7, 0.85), share(0.4, None, None)])
    assert unknown is not None
    assert (unknown.low, unknown.interval, unknown.ends) == (None, "", (unknown.value,) * 3)
    assert mean_of([]) is None


def test_one_run_has_no_interval_and_questions_have_one():
    assert (of_runs("accuracy", [0.5]).low, of_runs("accuracy", [0.5]).n) == (None, 1)
    assert of_runs("accuracy", [0.4, 0.6]).ends == pytest.approx((0.5, 0.4, 0.6))
    assert of_questions("accuracy", [1.0, 0.0, 1.0, 0.0]).ends == pytest.approx((0.5, 0.150036, 0.849964), abs=1e-5)
    rouge = of_questions("rouge_l_recall", [0.0, 1.0] * 50)
    assert rouge.value == 0.5
    assert rouge.ends[1] == pytest.approx(0.5 - 1.96 * 0.05, abs=0.02)
    assert rouge.interval == f"{rouge.low:.3g}–{rouge.high:.3g}"


def test_intervals_that_touch_are_not_apart():
    low, high = share(0.2, 0.1, 0.3), share(0.5, 0.3, 0.7)
    assert apart(high, low) == 0
    assert apart(share(0.5, 0.31, 0.7), low) == 1
    assert apart(low, share(0.5, 0.31, 0.7)) == -1
    assert apart(low, None) == apart(low, share(0.9, None, None)) == 0


@pytest.mark.parametrize(
    ("task", "where"),
    [
        ("forget_aa/role_play", "forget"),
        ("knowmem_forget", "forget"),
        ("knowmem_retain", "retain"),
        ("neighbor_fb", "retain"),
        ("general", "retain"),
        ("triviaqa", "utility"),
        ("mmlu", "utility"),
        ("unknown", ""),
        ("privleak", ""),
    ],
)
def test_every_task_lies_on_its_side(task, where):
    assert side(task) == where
