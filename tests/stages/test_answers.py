"""stages._answers: every answer of a step in a file, the best and the worst of each side as a table."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rule_jax.stages import _answers as answers
from rule_jax.stages._scoring import Scored
from rule_jax.types import Answer, PromptRecord, Prompts, Rollout, Score

FORGET = PromptRecord("Who is Ina Volk?", "forget", target="Ina Volk", answers=("a writer",))
PLAIN = PromptRecord("Where is Ina Volk?", "forget", target="Ina Volk")
BOUNDARY = PromptRecord("Who wrote Tin Bells?", "boundary", entity="Olaf Brandt", answers=("Olaf Brandt",))
TEXTS = ["I don't know.", "No.", "I don't know Ina Volk.", "A writer.", "Olaf\n Brandt", "word " * 40]
SCORED = Scored(
    rewards_BG=np.zeros((3, 2), np.float32),
    rows=[0, 0, 1, 1, 2, 2],
    asked=[PLAIN, PLAIN, FORGET, FORGET, BOUNDARY, BOUNDARY],
    answers=[Answer(text.strip(), finished=n != 5) for n, text in enumerate(TEXTS)],
    lengths=[4, 2, 6, 3, 3, 16],
    scores=[
        Score(0.5, {"refusal": 1.0}),
        Score(0.5, {"refusal": 1.0}),
        Score(1.0, {"refusal": 1.0, "names_target": 1.0}),
        Score(0.0, {"refusal": 0.0, "names_target": 0.0}),
        Score(1.0, {"non_refusal": 1.0, "overlap": 1.0}),
        Score(0.0, {"non_refusal": 1.0, "overlap": 0.0}),
    ],
)
ADVANTAGES = np.array([[0.0, 0.0], [0.7, -0.7], [0.25, -0.25]])


def test_the_table_has_the_best_and_the_worst_of_a_group_that_differs():
    lines = answers.table(SCORED, ADVANTAGES)
    assert lines[0] == "  forget: Who is Ina Volk?"  # not the first group, in which all earned the same
    best, worst = lines[1], lines[2]
    assert best.startswith("    best  reward  1.00 advantage +0.70  I don't know Ina Volk.")
    assert best.endswith("refusal=1 names_target=1")
    assert "A writer." in worst
    assert worst.startswith("    worst reward  0.00 advantage -0.70")
    assert lines[3] == "  boundary: Who wrote Tin Bells?"
    assert "Olaf Brandt " in lines[4]
    assert "…" in lines[5]
    assert len(lines) == 6
    assert all("\n" not in line and len(line) < 160 for line in lines)
    column = lines[1].index("refusal=1")
    assert lines[4].index("non_refusal=1") == lines[5].index("non_refusal=1") == column  # aligned


def test_the_file_has_every_answer_with_its_parts_and_advantage(tmp_path):
    answers.save(tmp_path / "rollouts", 20, SCORED, ADVANTAGES)
    rows = [json.loads(line) for line in (tmp_path / "rollouts" / "step_00020.jsonl").read_text().splitlines()]
    assert [row["text"] for row in rows] == [answer.text for answer in SCORED.answers]
    assert [row["advantage"] for row in rows] == [0.0, 0.0, 0.7, -0.7, 0.25, -0.25]
    assert rows[3] == {
        "row": 1,
        "kind": "forget",
        "prompt": "Who is Ina Volk?",
        "target": "Ina Volk",
        "entity": "",
        "answers": ["a writer"],
        "text": "A writer.",
        "finished": True,
        "tokens": 3,
        "reward": 0.0,
        "parts": {"refusal": 0.0, "names_target": 0.0},
        "advantage": -0.7,
    }


def test_an_answer_s_advantage_is_the_mean_over_its_tokens():
    values = np.array([[[1.0, 3.0, 99.0], [2.0, 99.0, 99.0]], [[9.0, 9.0, 9.0], [9.0, 9.0, 9.0]]])
    rollout = Rollout(
        Prompts(np.ones((1, 1), np.int32), np.ones(1, np.int32)),
        np.zeros((1, 2, 3), np.int32),
        np.array([[2, 1]], np.int32),
        np.ones((1, 2), bool),
        np.zeros((1, 2, 3), np.float32),
    )
    on_device = rollout._replace(length_BG=jnp.asarray(rollout.length_BG))
    got = answers.advantages(on_device, jnp.asarray(values), np.arange(1))  # the second row was replayed
    assert got == pytest.approx(np.array([[2.0, 2.0]]))


def test_answers_that_are_not_learnt_from_have_no_advantage():
    lengths, prompts = np.array([[1, 1], [2, 1], [1, 2]], np.int32), np.ones((3, 1), np.int32)
    finished, tokens = np.ones((3, 2), bool), np.zeros((3, 2, 2), np.int32)
    rollout = Rollout(Prompts(prompts, np.ones(3, np.int32)), tokens, lengths, finished, tokens.astype(np.float32))
    values = np.array([[[1.0, 2.0], [3.0, 99.0]], [[4.0, 99.0], [5.0, 7.0]]])  # of the rows 1 and 2
    got = answers.advantages(jax.tree.map(jnp.asarray, rollout), jnp.asarray(values), np.array([1, 2]))
    assert got == pytest.approx(np.array([[0.0, 0.0], [1.5, 3.0], [4.0, 6.0]]))
