"""What every file of the rewards room promises."""

import json
import math

import pytest

from rule_jax import plugin
from rule_jax.types import Answer, PromptRecord
from tests.fake_llm import FakeLLM
from tests.rewards.judge_settings import LLM

RULE = {"alpha": 0.5, "beta": 0.5, "tau": 0.3, "gated": True, "detector": "ours", "unfinished": False}
QUALITY = {"gibberish": 0.3, "repetition": 0.5, "cut": True}
# The options that a file is made with here; a new file of the room adds its line.
OPTIONS = {
    "rule": RULE,
    "robust": {"rule": RULE},
    "quality": QUALITY,
    "released": {"variant": "forget_reward_two_stage_abs_target"},
    "forbidden_terms": {"terms": ("Tin Bells",), "references": True, "target": False},
    "weighted": {"terms": {"rule": {"weight": 1.0, **RULE}}, "gates": {"quality": QUALITY}},
}
NAMES = plugin.names("rewards")
RECORDS = [
    PromptRecord("Who wrote The Salt Road?", "forget", target="Ina Volk", answers=("Ina Volk",)),
    PromptRecord("Who wrote Tin Bells?", "boundary", entity="Olaf Brandt", answers=("Olaf Brandt", "O. Brandt")),
    PromptRecord("Where is Arden?", "retain"),
]
TEXTS = (
    "I don't know anything about Ina Volk.",
    "Olaf Brandt wrote Tin Bells.",
    "",
    "...",
    "No. No. No. No.",
    "北京",
)


@pytest.fixture
def make(tmp_path, monkeypatch):
    """make(name) -> the reward; the judge's endpoint is a server on loopback."""
    monkeypatch.setenv("FAKE_KEY", "sk-loopback-0123456789abcdef")
    with FakeLLM(lambda body: json.dumps({"rating": len(body["messages"][-1]["content"]) % 11})) as server:
        judge = {"llm": {**LLM, "base_url": server.base_url}, "journal": str(tmp_path / "judge.jsonl")}
        options = {**OPTIONS, "judge": judge}

        def made(name):
            assert name in options, f"{name}: the contract needs a line in OPTIONS"
            return plugin.make("rewards", {"name": name, **options[name]})

        yield made


@pytest.mark.parametrize("name", NAMES)
def test_every_answer_gets_a_finite_score_of_floats(make, name):
    asked, answers = zip(*[(r, Answer(t, f)) for r in RECORDS for t in TEXTS for f in (True, False)])
    scores = make(name)(asked, answers)
    assert len(scores) == len(asked)
    for score in scores:
        values = (score.total, *score.parts.values())
        assert {type(value) for value in values} == {float}
        assert all(math.isfinite(value) for value in values)


@pytest.mark.parametrize("name", NAMES)
def test_a_score_depends_on_its_own_record_and_answer_alone(make, name):
    reward = make(name)
    asked, answers = zip(*[(r, Answer(t)) for r in RECORDS for t in TEXTS])
    together = reward(asked, answers)
    assert together == [reward([r], [a])[0] for r, a in zip(asked, answers)]
    assert together[::-1] == reward(asked[::-1], answers[::-1])
    assert reward([], []) == []


@pytest.mark.parametrize("name", NAMES)
def test_records_and_answers_of_different_number_are_an_error(make, name):
    with pytest.raises(ValueError):
        make(name)(RECORDS, [Answer("a")])
