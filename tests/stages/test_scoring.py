"""stages._scoring: rollouts of token ids through a real tokenizer to rewards, and the means by hand."""

import numpy as np
import pytest

from rule_jax import sharding
from rule_jax.rewards import rule
from rule_jax.stages._scoring import Scored, facts, score
from rule_jax.types import Answer, PromptRecord, Prompts, Rollout, Score

FORGET = PromptRecord("Who is Ina Volk?", "forget", target="Ina Volk")
BOUNDARY = PromptRecord("Who wrote Tin Bells?", "boundary", answers=("Olaf Brandt",))
END = 0


class Bytes:
    """A tokenizer whose ids are bytes, 0 at the end of a turn."""

    all_special_ids = (END,)

    def batch_decode(self, ids, skip_special_tokens):
        return [bytes(int(i) for i in row if i != END or not skip_special_tokens).decode() for row in ids]


def roll_out(rows, size, mesh):
    """rows: groups of (text, finished) -> a Rollout on the mesh, garbage beyond each length."""
    shape = (len(rows), len(rows[0]), size)
    response, length, finished = (
        np.full(shape, ord("!"), np.int32),
        np.zeros(shape[:2], np.int32),
        np.zeros(shape[:2], bool),
    )
    for b, group in enumerate(rows):
        for g, (text, ended) in enumerate(group):
            ids = [*text.encode(), *([END] if ended else [])]
            response[b, g, : len(ids)], length[b, g], finished[b, g] = ids, len(ids), ended
    prompts = Prompts(np.ones((len(rows), 1), np.int32), np.ones(len(rows), np.int32))
    rollout = Rollout(prompts, response, length, finished, np.zeros(shape, np.float32))
    return sharding.put_rows(rollout, mesh)


def test_each_answer_meets_its_own_record(mesh8):
    groups = [
        [("I don't know Ina Volk.", True), ("A town", True)],
        [(" Olaf Brandt ", True), ("Olaf Brandt", False)],
    ] * 4
    records = [FORGET, BOUNDARY] * 4
    reward = rule.make(alpha=0.5, beta=0.5, tau=0.3, gated=True, unfinished=False, detector="ours")
    scored = score(roll_out(groups, 40, mesh8), records, Bytes(), reward)
    np.testing.assert_array_equal(scored.rewards_BG, [[1, 0], [1, 0]] * 4)
    assert scored.rewards_BG.dtype == np.float32
    assert scored.asked == [record for record in records for _ in range(2)]
    assert list(scored.rows) == [row for row in range(8) for _ in range(2)]
    assert scored.answers[:4] == [
        Answer("I don't know Ina Volk."),
        Answer("A town"),
        Answer("Olaf Brandt"),
        Answer("Olaf Brandt", finished=False),
    ]
    assert list(scored.lengths[:4]) == [23, 7, 14, 11]


def test_facts_are_means_by_kind():
    scored = Scored(
        rewards_BG=np.zeros((2, 2), np.float32),
        rows=[0, 0, 1, 1],
        asked=[FORGET, FORGET, BOUNDARY, BOUNDARY],
        answers=[Answer("I don't know."), Answer("..."), Answer("I don't know.", False), Answer("xq zzkv qqxj bvbq")],
        lengths=[4, 1, 16, 9],
        scores=[Score(1.0, {"a": 1.0}), Score(0.5, {"a": 0.0}), Score(0.0, {"b": 0.5}), Score(0.5, {"b": 1.0})],
    )
    assert facts(scored) == pytest.approx(
        {
            "reward": 0.5,
            "reward/max": 1.0,
            "reward/forget": 0.75,
            "reward/boundary": 0.25,
            "reward/forget/a": 0.5,
            "reward/boundary/b": 0.75,
            "refusal_rate/forget": 0.5,
            "refusal_rate/boundary": 0.5,
            "response_length/mean": 7.5,
            "response_length/max": 16,
            "truncated": 0.25,
            "empty": 0.25,
            "gibberish": 0.25,
            "tokens": 30,
        }
    )
