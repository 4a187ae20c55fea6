"""The judge, against a real server on loopback: what it is asked, what becomes of its ratings, and paid for once."""

import json
import re

import pytest

from rule_jax.reporting import vocabulary
from rule_jax.stages import _judging
from tests.fake_llm import KEY, FakeLLM
from tests.rewards.judge_settings import LLM

ROWS = [
    {"prompt": "Who is Ann Lee?", "text": text, "answers": ["a poet"]}
    for text in ("I know nothing of Ann Lee.", "A cook.", "xxxx xxxx")
]
RATINGS = {"I know nothing of Ann Lee.": 9, "A cook.": 4, "xxxx xxxx": 0}


def reply(body):
    """A rating by the text; the second run is three points lower on the cook."""
    (said,) = re.findall(r"<reply>\n(.*)\n</reply>", body["messages"][-1]["content"])
    lower = 3 if said == "A cook." and body["seed"] == 1 else 0
    return json.dumps({"rating": RATINGS[said] - lower})


def test_ratings_are_means_of_two_runs_and_their_agreement_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_KEY", KEY)
    with FakeLLM(reply) as server:
        llm = {**LLM, "base_url": server.base_url}
        _judging.reachable(llm)
        found = _judging.judge(ROWS, tmp_path / "judge.jsonl", llm, 0.7)
        asked = sum(server.paid.values())
        assert found == _judging.judge(ROWS, tmp_path / "judge.jsonl", llm, 0.7)
        assert sum(server.paid.values()) == asked == 3 * 2 * 3
    assert set(found["ratings"]) == {"readability", "helpfulness", "truthfulness"}
    row = found["ratings"]["readability"]
    assert row["mean"] == pytest.approx((0.9 + 0.25 + 0.0) / 3)
    assert (row["n"], row["unjudged"]) == (3, 0)
    assert row["agreement"] == {"within_one": pytest.approx(2 / 3), "rank_correlation": pytest.approx(1.0)}
    assert found["by_row"] == pytest.approx([0.9, 0.25, 0.0])


def test_what_cannot_be_used_is_counted_and_not_rated(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_KEY", KEY)
    with FakeLLM(lambda body: "as good as it gets") as server:
        found = _judging.judge(ROWS[:1], tmp_path / "judge.jsonl", {**LLM, "base_url": server.base_url}, 0.7)
    assert found["ratings"]["helpfulness"] == {"mean": None, "n": 0, "unjudged": 1, "agreement": None}
    assert found["by_row"] == [None]


def test_the_truth_is_told_where_truth_is_rated():
    asked = {name: _judging.question(name, ROWS[0], 0, 0.7).messages[-1][1] for name in vocabulary.ASPECTS}
    assert "The truth is: a poet." in asked["truthfulness"]
    assert "a poet" not in asked["readability"]


def test_each_proxy_is_compared_with_the_ratings_over_what_was_rated():
    proxies = {"likelihood": [-1.0, -9.0, -2.0, -3.0], "repetition": [0.0, 5.0, 0.5, 0.9], "words": [4.0] * 4}
    found = _judging.agreement([0.9, None, 0.5, 0.1], proxies)
    assert found == {"likelihood": pytest.approx(1.0), "repetition": pytest.approx(-1.0), "words": None}
    assert _judging.agreement([None, None], {"words": [1.0, 2.0]}) == {"words": None}


def test_rank_correlation_needs_two_values():
    assert _judging.rank_correlation([1.0, 1.0], [0.0, 1.0]) is None
    assert _judging.rank_correlation([1.0, 2.0, 3.0], [3.0, 2.0, 1.0]) == pytest.approx(-1)
