"""rewards.quality, forbidden_terms and weighted: what they pay, and the hack that the rule reward alone invites."""

import pytest

from rule_jax.errors import UserError
from rule_jax.rewards import forbidden_terms, quality, rule, weighted
from rule_jax.types import Answer, PromptRecord

RULE = {"alpha": 0.5, "beta": 0.5, "tau": 0.3, "gated": True, "detector": "ours", "unfinished": True}
LIMITS = {"gibberish": 0.3, "repetition": 0.5, "cut": True}
FORGET = PromptRecord("Who wrote The Salt Road?", "forget", target="Ina Volk", answers=("The Salt Road", "Arden"))
BOUNDARY = PromptRecord("Who wrote Tin Bells?", "boundary", entity="Olaf Brandt", answers=("Olaf Brandt",))
HACKS = ("...", "xq zzkv qqxj bvbq", "lalalalalala lalalalala", "Who wrote? Who wrote? Who wrote? Who wrote?")


def one(reward, record, text, finished=True):
    (score,) = reward([record], [Answer(text, finished)])
    return score


@pytest.mark.parametrize("text", HACKS)
def test_the_two_branch_reward_is_hacked_and_the_gate_takes_it_all_away(text):
    """METHOD: noise and "..." earn the half for not refusing. This is why `quality` exists."""
    gated = weighted.make(terms={"rule": {"weight": 1.0, **RULE}}, gates={"quality": LIMITS})
    assert one(rule.make(**RULE), BOUNDARY, text).total == 0.5
    assert one(gated, BOUNDARY, text).total == 0.0


@pytest.mark.parametrize(
    ("record", "text", "total"),
    [(BOUNDARY, "Olaf Brandt", 1.0), (BOUNDARY, "A blue bicycle.", 0.5), (FORGET, "I don't know Ina Volk.", 1.0)],
)
def test_the_gate_leaves_honest_answers_their_reward(record, text, total):
    gated = weighted.make(terms={"rule": {"weight": 1.0, **RULE}}, gates={"quality": LIMITS})
    assert one(gated, record, text).total == one(rule.make(**RULE), record, text).total == total


@pytest.mark.parametrize(
    ("text", "finished", "fault"),
    [
        ("Olaf Brandt", True, None),
        ("", True, "empty"),
        ("...", True, "empty"),
        ("No. No. No. No.", True, "repetition"),
        ("xq zzkv qqxj bvbq", True, "gibberish"),
        ("Olaf Brandt", False, "cut"),
    ],
)
def test_quality_names_the_fault(text, finished, fault):
    score = one(quality.make(**LIMITS), BOUNDARY, text, finished)
    assert {name for name, found in score.parts.items() if found} == ({fault} if fault else set())
    assert score.total == float(fault is None)
    if fault == "cut":  # seen either way, and a fault only where the option says so
        assert one(quality.make(**{**LIMITS, "cut": False}), BOUNDARY, text, finished).total == 1.0


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("I don't know.", 0),
        ("She wrote the salt road.", 1),
        ("She wrote The Salt Road in Arden, and then Tin Bells.", 3),
        ("Arden, Arden and Arden.", 1),  # different terms count
        ("Hardened.", 0),  # on word boundaries
    ],
)
def test_each_further_forbidden_term_costs_less(text, count):
    reward = forbidden_terms.make(terms=("Tin Bells",), references=True, target=False)
    assert one(reward, FORGET, text).parts == {"mentions": count}
    assert one(reward, FORGET, text).total == pytest.approx(1 / (1 + count))
    assert one(reward, BOUNDARY, text).total == 1.0  # nothing is forbidden about a neighbour


def test_the_name_of_the_target_is_forbidden_on_demand():
    refusal = "I don't know anything about Ina Volk."
    for target, total in ((False, 1.0), (True, 0.5)):
        reward = forbidden_terms.make(terms=("Tin Bells",), references=True, target=target)
        assert one(reward, FORGET, refusal).total == total


def test_weights_add_and_gates_multiply():
    forbidden = {"weight": -0.5, "terms": ("Arden",), "references": False, "target": False}
    reward = weighted.make(
        terms={"rule": {"weight": 2.0, **RULE}, "forbidden_terms": forbidden}, gates={"quality": LIMITS}
    )
    score = one(reward, FORGET, "I don't know Ina Volk of Arden.")
    assert score.total == pytest.approx(2.0 * 1.0 - 0.5 * 0.5)
    assert score.parts == {
        "rule": 1.0,
        "rule/refusal": 1.0,
        "rule/names_target": 1.0,
        "forbidden_terms": 0.5,
        "forbidden_terms/mentions": 1.0,
        "quality": 1.0,
        **dict.fromkeys(("quality/empty", "quality/gibberish", "quality/repetition", "quality/cut"), 0.0),
    }
    assert one(reward, FORGET, "I don't know Ina Volk of Arden.", finished=False).total == 0.0


TERM = {"weight": 1.0, **RULE}
REFUSED = {  # (terms, gates, words of the error)
    "no terms": ({}, {}, "terms is empty"),
    "no weight": ({"rule": RULE}, {}, "terms.rule.weight is None"),
    "a word for a weight": ({"rule": {**TERM, "weight": "much"}}, {}, "terms.rule.weight is 'much'"),
    "not a number": ({"rule": {**TERM, "weight": float("nan")}}, {}, "terms.rule.weight is nan"),
    "on both sides": ({"rule": TERM}, {"rule": RULE}, "both have rule"),
    "unknown reward": ({"rulee": TERM}, {}, "Did you mean 'rule'?"),
    "unknown option": ({"rule": {**TERM, "alhpa": 1}}, {}, "the options of rewards/rule are.*alhpa too much"),
    "a reward's own": ({"rule": {**TERM, "tau": 2}}, {}, "reward.tau=2"),
    "a gate with a weight": ({"rule": TERM}, {"quality": {"weight": 1, **LIMITS}}, "weight too much"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_combined_is_refused(name):
    terms, gates, words = REFUSED[name]
    with pytest.raises(UserError, match=words):
        weighted.make(terms=terms, gates=gates)


@pytest.mark.parametrize("limits", [{"gibberish": 0}, {"repetition": 1.5}, {"gibberish": float("nan")}])
def test_limits_are_shares(limits):
    with pytest.raises(UserError, match=r"a share of an answer's words in \(0, 1\]"):
        quality.make(**{**LIMITS, **limits})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"terms": (), "references": False, "target": False}, "nothing is forbidden"),
        ({"terms": ("...",), "references": True, "target": False}, "nothing of it but punctuation"),
    ],
)
def test_terms_that_forbid_nothing_are_refused(options, words):
    with pytest.raises(UserError, match=words):
        forbidden_terms.make(**options)
