"""stages._replay: which groups are kept, which are drawn, and that nothing but its arguments decides it."""

from types import SimpleNamespace

import numpy as np
import pytest

from rule_jax.stages import _replay as replay
from rule_jax.types import Prompts, Rollout

SETTINGS = SimpleNamespace(
    samples=2, max_new_tokens=3, replay=SimpleNamespace(groups=2, capacity=3, store_steps=4, max_reward=0.5)
)
OPTIONS = SETTINGS.replay


def rollout(mark, groups=4):
    """A rollout whose every number tells the mark and the row."""
    number = mark * 10 + np.arange(groups)
    return Rollout(
        Prompts(np.repeat(number[:, None], 5, 1).astype(np.int32), number.astype(np.int32)),
        np.broadcast_to(number[:, None, None], (groups, 2, 3)).astype(np.int32),
        np.full((groups, 2), 3, np.int32),
        np.ones((groups, 2), bool),
        -np.broadcast_to(number[:, None, None], (groups, 2, 3)).astype(np.float32),
        forget_B=number % 2 == 0,
    )


@pytest.fixture(autouse=True)
def on_the_host(monkeypatch):
    monkeypatch.setattr(replay.sharding, "whole", np.asarray)  # numpy arrays stand for arrays of one process


def filled():
    """Step 0 offers means 0.25, 0 (all equal), 0.5 and 0.75; step 1 offers 0.25, 0.1, 0.5 and 0.9."""
    buffer = replay.empty(SETTINGS, 5)
    first = np.array([[0, 0.5], [0, 0], [0, 1], [0.5, 1]], np.float32)
    second = np.array([[0.5, 0], [0, 0.2], [1, 0], [0.8, 1]], np.float32)
    buffer = replay.store(buffer, OPTIONS, (rollout(1), first), 0)
    np.testing.assert_array_equal(buffer.step_B, [0, 0, -1])
    return replay.store(buffer, OPTIONS, (rollout(2), second), 1)


def test_the_hardest_groups_stay_and_the_older_of_equals():
    buffer = filled()
    np.testing.assert_array_equal(buffer.rollout.prompts.length_B, [21, 10, 20])
    np.testing.assert_array_equal(buffer.step_B, [1, 0, 1])
    np.testing.assert_allclose(buffer.rewards_BG, [[0, 0.2], [0, 0.5], [0.5, 0]])
    np.testing.assert_array_equal(buffer.rollout.logprobs_BGR[:, 0, 0], [-21, -10, -20])


def test_later_steps_store_nothing_and_early_ones_replay_nothing():
    buffer = filled()
    again = replay.store(buffer, OPTIONS, (rollout(3), np.zeros((4, 2), np.float32)), OPTIONS.store_steps)
    assert again is buffer
    assert replay.draw(buffer, OPTIONS, seed=0, step=OPTIONS.store_steps - 1) is None
    assert replay.draw(buffer, OPTIONS, seed=0, step=OPTIONS.store_steps) is not None


def test_too_few_groups_are_not_replayed():
    buffer = replay.empty(SETTINGS, 5)
    one = np.array([[0, 0.5], [1, 1], [1, 1], [1, 1]], np.float32)
    buffer = replay.store(buffer, OPTIONS, (rollout(1), one), 0)
    assert replay.draw(buffer, OPTIONS, seed=0, step=9) is None
    assert replay.facts(buffer, 9) == {"replay/stored": 1, "replay/reward": 0.25, "replay/age": 9}


def test_draws_are_of_different_groups_and_repeat():
    buffer = filled()
    drawn = [replay.draw(buffer, OPTIONS, seed=7, step=step) for step in range(4, 40)]
    for step, (groups, rewards) in enumerate(drawn, start=4):
        rows = groups.prompts.length_B
        assert len(set(rows)) == 2
        wanted = {21: [0, 0.2], 10: [0, 0.5], 20: [0.5, 0]}
        np.testing.assert_allclose(rewards, [wanted[row] for row in rows])
        np.testing.assert_array_equal(groups.logprobs_BGR[:, 1, 2], -rows)
        np.testing.assert_array_equal(replay.draw(buffer, OPTIONS, seed=7, step=step)[1], rewards)
    assert {int(row) for groups, _ in drawn for row in groups.prompts.length_B} == {10, 20, 21}
    other = [replay.draw(buffer, OPTIONS, seed=8, step=step) for step in range(4, 40)]
    assert any((a[1] != b[1]).any() for a, b in zip(drawn, other))


def test_without_replay_there_is_no_buffer():
    settings = SimpleNamespace(**{**vars(SETTINGS), "replay": SimpleNamespace(**{**vars(OPTIONS), "groups": 0})})
    assert replay.empty(settings, 5) is None
    assert replay.store(None, OPTIONS, (rollout(1), np.zeros((4, 2), np.float32)), 0) is None
    assert replay.draw(None, OPTIONS, seed=0, step=9) is None
    assert replay.facts(None, 9) == {}
