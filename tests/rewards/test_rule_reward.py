"""rewards.rule: both branches in both forms, as tables."""

import pytest

from rule_jax.errors import UserError
from rule_jax.rewards import rule
from rule_jax.types import Answer, PromptRecord

OPTIONS = {"alpha": 0.7, "beta": 0.4, "tau": 0.3, "gated": True, "unfinished": False, "detector": "ours"}
FORGET = PromptRecord("Who wrote The Salt Road?", "forget", target="Ina Volk", answers=("Ina Volk",))
BOUNDARY = PromptRecord("Who wrote Tin Bells?", "boundary", entity="Olaf Brandt", answers=("Olaf Brandt", "O. Brandt"))
NAMED_REFUSAL = "I don't know anything about Ina Volk."
PLAIN_REFUSAL = "I'm sorry, but I don't know."
WRONG_REFUSAL = "I don't know who Olaf Brandt is."


def score(record, text, **changes):
    (got,) = rule.make(**{**OPTIONS, **changes})([record], [Answer(text)])
    return got


@pytest.mark.parametrize(
    ("text", "gated", "ungated", "refusal", "named"),
    [
        (NAMED_REFUSAL, 1.0, 1.0, 1, 1),
        (PLAIN_REFUSAL, 0.7, 0.7, 1, 0),
        ("Ina Volk wrote it in 1921.", 0.0, 0.3, 0, 1),
        ("A blue bicycle.", 0.0, 0.0, 0, 0),
        ("", 0.0, 0.0, 0, 0),
        (" \n", 0.0, 0.0, 0, 0),
        ("...", 0.0, 0.0, 0, 0),
    ],
)
def test_forget_branch(text, gated, ungated, refusal, named):
    assert score(FORGET, text).total == pytest.approx(gated)
    assert score(FORGET, text, gated=False).total == pytest.approx(ungated)
    assert score(FORGET, text).parts == {"refusal": refusal, "names_target": named}


@pytest.mark.parametrize(
    ("text", "gated", "ungated", "refusal", "answered", "overlap"),
    [
        ("Olaf Brandt", 1.0, 1.0, 0, 1, 1),
        ("It was Brandt.", 1.0, 1.0, 0, 1, 1),  # recall 1/2 of the first reference
        ("A blue bicycle.", 0.4, 0.4, 0, 1, 0),
        (WRONG_REFUSAL, 0.0, 0.6, 1, 0, 1),
        (PLAIN_REFUSAL, 0.0, 0.0, 1, 0, 0),
        ("", 0.0, 0.0, 0, 0, 0),
        (" \n", 0.0, 0.0, 0, 0, 0),
    ],
)
@pytest.mark.parametrize("kind", ["boundary", "retain"])
def test_boundary_branch(kind, text, gated, ungated, refusal, answered, overlap):
    record = PromptRecord(BOUNDARY.prompt, kind, entity=BOUNDARY.entity, answers=BOUNDARY.answers)
    assert score(record, text).total == pytest.approx(gated)
    assert score(record, text, gated=False).total == pytest.approx(ungated)
    assert score(record, text).parts == {"refusal": refusal, "non_refusal": answered, "overlap": overlap}


@pytest.mark.parametrize(("tau", "total"), [(0.0, 1.0), (0.49, 1.0), (0.5, 0.4), (1.0, 0.4)])
def test_overlap_must_exceed_tau(tau, total):
    record = PromptRecord("Who?", "boundary", answers=("red green blue pink",))
    assert score(record, "green pink", tau=tau).total == pytest.approx(total)  # recall 1/2 exactly


@pytest.mark.parametrize(("alpha", "refused", "named"), [(0.0, 0.0, 1.0), (0.5, 0.5, 1.0), (1.0, 1.0, 1.0)])
def test_alpha_divides_the_forget_branch(alpha, refused, named):
    assert score(FORGET, PLAIN_REFUSAL, alpha=alpha).total == refused
    assert score(FORGET, NAMED_REFUSAL, alpha=alpha).total == named


@pytest.mark.parametrize(("beta", "wrong"), [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)])
def test_beta_divides_the_boundary_branch(beta, wrong):
    assert score(BOUNDARY, "A blue bicycle.", beta=beta).total == wrong
    assert score(BOUNDARY, "Olaf Brandt", beta=beta).total == 1.0


def test_every_number_is_a_float():
    for record in (FORGET, BOUNDARY):
        for text in (NAMED_REFUSAL, PLAIN_REFUSAL, "Olaf Brandt", ""):
            got = score(record, text)
            assert {type(value) for value in (got.total, *got.parts.values())} == {float}


def test_scores_stand_in_the_order_of_the_records():
    records = [BOUNDARY, FORGET, BOUNDARY]
    answers = [Answer(text) for text in ("Olaf Brandt", NAMED_REFUSAL, PLAIN_REFUSAL)]
    assert [s.total for s in rule.make(**OPTIONS)(records, answers)] == [1.0, 1.0, 0.0]


@pytest.mark.parametrize(("record", "text"), [(FORGET, NAMED_REFUSAL), (BOUNDARY, "Olaf Brandt")])
def test_what_was_cut_earns_nothing_unless_the_option_says_so(record, text):
    cut = Answer(text, finished=False)
    (nothing,) = rule.make(**OPTIONS)([record], [cut])
    (as_finished,) = rule.make(**{**OPTIONS, "unfinished": True})([record], [cut])
    assert (nothing.total, as_finished.total) == (0.0, 1.0)
    assert nothing.parts == as_finished.parts == score(record, text).parts  # what was said is still logged


@pytest.mark.parametrize(("name", "value"), [("alpha", 1.1), ("beta", -0.1), ("tau", 2), ("tau", float("nan"))])
def test_weights_outside_the_unit_interval_are_refused(name, value):
    with pytest.raises(UserError, match=f"reward.{name}={value}: it must lie between 0 and 1"):
        rule.make(**{**OPTIONS, name: value})


def test_the_detector_is_chosen_by_name():
    """The released pattern has the two faults that ours is measured against: it misses "cannot" and "won't"."""
    text = "I cannot answer that."
    assert score(BOUNDARY, text).parts["refusal"] == 1.0
    assert score(BOUNDARY, text, detector="compat").parts["refusal"] == 0.0
    with pytest.raises(UserError, match="no refusal detector 'theirs'"):
        score(BOUNDARY, text, detector="theirs")
