"""stages._validation: the score by hand, the prompts a fixed part, and stopping that a resumed run repeats."""

import pytest
from ml_collections import ConfigDict

from rule_jax.errors import UserError
from rule_jax.stages._validation import EarlyStopping, check, sides, subset
from rule_jax.types import PromptRecord, Task


def task(name, kind, count=3, **changes):
    records = tuple(PromptRecord(f"{name} {n}?", kind) for n in range(count))
    return Task(name, records, lambda record, text: {}, **changes)


def test_the_part_of_the_benchmark_is_greedy_chat_and_always_the_same():
    tasks = [
        task("forget", "forget", 50),
        task("forget_sampled", "forget", temperature=1.0, samples=8),
        task("forget_raw", "forget", render="raw"),
        task("neighbor", "retain", 2),
        task("triviaqa", "retain", 2),
        task("fluency", "retain", 2),
        task("empty", "retain", 0),
    ]
    chosen = subset(tasks, 4, seed=3)
    assert [(t.name, len(t.records)) for t in chosen] == [("forget", 4), ("neighbor", 2)]
    assert subset(tasks, 4, seed=3) == chosen == subset(tasks[::-1], 4, seed=3)[::-1]
    assert subset(tasks, 4, seed=4)[0].records != chosen[0].records
    assert set(chosen[0].records) <= set(tasks[0].records)
    assert subset(tasks, 0, seed=3) == ()


def test_the_score_is_the_harmonic_mean_of_both_sides():
    tasks = [task("forget", "forget"), task("forget_cloze", "forget"), task("general", "retain")]
    table = {
        "forget": {"refusal_rate": 1.0, "leak_rate": 0.0, "names_target_rate": 0.3, "n": 3},
        "forget_cloze": {"refusal_rate": 0.5, "leak_rate": 0.5, "n": 3},
        "general": {"accuracy": 0.6, "over_refusal_rate": 0.0, "n": 3},
    }
    got = sides(tasks, table)
    assert got == pytest.approx({"forget": 0.75, "keep": 0.8, "score": 2 * 0.75 * 0.8 / 1.55})


@pytest.mark.parametrize(("refused", "right"), [(1.0, 0.0), (0.0, 1.0)])
def test_refusing_all_and_answering_all_score_nothing(refused, right):
    table = {"forget": {"refusal_rate": refused}, "general": {"accuracy": right}}
    assert sides([task("forget", "forget"), task("general", "retain")], table)["score"] == 0.0


def test_a_side_that_is_not_measured_counts_nothing():
    assert sides([task("forget", "forget")], {"forget": {"refusal_rate": 0.25}}) == {"score": 0.25, "forget": 0.25}


SCORES = {0: 0.5, 4: 0.7, 8: 0.7, 12: 0.6, 16: 0.9}


def stopped_at(stopping, start, scores):
    """(the step that training stops at, the steps that are saved as the best) of a loop that begins at `start`."""
    saved = []
    for step in range(start, 20):
        if step in scores and (step > start or step == 0):
            stopping.see(step, scores[step])
        if stopping.best_at(step) is not None:
            saved.append(step)
        if stopping.exhausted(step):
            return step, saved
    return 20, saved


def test_training_stops_when_there_was_nothing_better_for_so_many_validations():
    assert stopped_at(EarlyStopping(2, 4, None), 0, SCORES) == (12, [0, 4])  # an equal score is not better
    assert stopped_at(EarlyStopping(3, 4, None), 0, SCORES) == (20, [0, 4, 16])
    assert stopped_at(EarlyStopping(0, 4, None), 0, SCORES) == (20, [])


@pytest.mark.parametrize("killed", range(1, 13))
def test_a_resumed_run_stops_where_an_uninterrupted_one_does(killed):
    """What it knows of the past is the newest checkpoint's step and the best one's step and score."""
    before = EarlyStopping(2, 4, None)
    _, saved = stopped_at(before, 0, {step: score for step, score in SCORES.items() if step <= killed})
    best = [step for step in saved if step <= killed][-1]
    resumed = EarlyStopping(2, 4, [best, SCORES[best]])
    assert stopped_at(resumed, killed, SCORES)[0] == 12


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"every": -1, "records": 1, "patience": 0}, "validation.every=-1: it must not be negative"),
        ({"every": 0, "records": 1, "patience": 2}, "set validation.every too"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, words):
    with pytest.raises(UserError, match=words):
        check(None, ConfigDict(settings))  # type: ignore[arg-type]
