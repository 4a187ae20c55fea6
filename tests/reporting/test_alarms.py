"""reporting.alarms: each symptom on a history that has it and on one that has not, once and again after it was over."""

import re

import pytest

from configs import grpo
from rule_jax.reporting.alarms import SYMPTOMS, WINDOW, Alarms, alarms

# What a healthy run logs from step to step: refused more and more, boundary refusals going down, reward up to its best.
HEALTHY = [
    {
        "reward": min(1.0, 0.3 + 0.03 * step),
        "reward/max": 1.0,
        "refusal_rate/forget": min(1.0, 0.35 + 0.05 * step),
        "refusal_rate/boundary": max(0.0, 0.3 - 0.02 * step),
        "zero_variance_groups": min(1.0, 0.1 + 0.04 * step),
        "kl": min(1.2, 0.05 * step),
        "entropy": 1.2 * 0.9**step,
        "truncated": 0.05,
        "gibberish": 0.01,
        "empty": 0.0,
        "sampler_gap": 1e-6,
    }
    for step in range(60)
]

# name -> (what the sick history logs from step 20 on, a word of the knob that the text must name, what lies between
# the two limits: neither a new alarm nor the end of one)
SICK = {
    "no refusals": (
        {"refusal_rate/forget": 0.0},
        "config.rejection_steering.dosage.refusal_rate",
        {"refusal_rate/forget": 0.035},
    ),
    "over-refusal": (
        {"refusal_rate/boundary": 0.4},
        "config.boundary_optimization.boundary_prompts",
        {"refusal_rate/boundary": 0.15},
    ),
    "no signal": (
        {"zero_variance_groups": 1.0, "reward": 0.5},
        "config.boundary_optimization.samples",
        {"zero_variance_groups": 0.88, "reward": 0.5},
    ),
    "KL runs away": ({"kl": 9.0}, "config.algorithm.kl.coef", {"kl": 2.0}),
    "answers cut": ({"truncated": 0.5}, "config.boundary_optimization.max_new_tokens", {"truncated": 0.18}),
    "entropy collapsed": (
        {"entropy": 1e-3, "reward": 0.5},
        "config.boundary_optimization.schedule.peak",
        {"entropy": 0.118, "reward": 0.5},
    ),
    "gibberish": ({"gibberish": 0.3}, "config.reward with quality", {"gibberish": 0.07}),
    "sampler and scorer disagree": ({"sampler_gap": 0.4}, "config.model.compute_dtype", {"sampler_gap": 0.07}),
}
BLIND = {"no signal": "entropy collapsed", "entropy collapsed": "no signal"}  # sicknesses that come together


def history(*parts):
    """(length, changes) after one another -> lines with their steps, on top of the healthy run."""
    lines = []
    for length, changes in parts:
        for _ in range(length):
            lines.append({**HEALTHY[len(lines)], **changes, "step": len(lines) + 1})
    return lines


def test_a_healthy_run_raises_none():
    assert alarms(history((60, {}))) == []


def test_every_symptom_is_tested():
    assert set(SICK) == {symptom.name for symptom in SYMPTOMS}


@pytest.mark.parametrize("name", SICK)
def test_a_sick_run_raises_its_own_alarm_once_and_names_the_knob(name):
    changes, knob, _ = SICK[name]
    raised = [a for a in alarms(history((20, {}), (40, changes))) if a.name != BLIND.get(name)]
    assert [alarm.name for alarm in raised] == [name]
    assert 20 < raised[0].step <= 20 + WINDOW
    assert knob in raised[0].text


@pytest.mark.parametrize("name", SICK)
def test_an_alarm_is_raised_again_only_after_it_was_over(name):
    changes, _, between = SICK[name]
    lines = history((20, {}), (10, changes), (10, {}), (20, changes))
    assert [alarm.name for alarm in alarms(lines)].count(name) == 2
    wavering = [part for _ in range(4) for part in ((5, changes), (5, between))]
    assert [alarm.name for alarm in alarms(history((20, {}), *wavering))].count(name) == 1


def test_success_is_no_sickness():
    """Groups without variance and a policy without entropy are what the end looks like, once the reward is high."""
    done = {"zero_variance_groups": 1.0, "entropy": 1e-6, "reward": 0.99}
    assert alarms(history((20, {}), (40, done))) == []
    scaled = {"zero_variance_groups": 1.0, "entropy": 1e-6, "reward": 1.99, "reward/max": 2.0}  # weights that sum to 2
    assert alarms(history((20, {"reward/max": 2.0, "reward": 1.9}), (40, scaled))) == []


def test_what_is_not_logged_is_not_judged():
    assert alarms([{"step": step, "loss": 1.0} for step in range(1, 30)]) == []


def test_a_resumed_run_goes_on_where_it_was():
    """Fed with the lines before, a new process raises what an uninterrupted one would have raised from there."""
    lines = history((20, {}), (10, {"truncated": 0.5}), (10, {}), (20, {"truncated": 0.5}))
    for cut in (5, 22, 26, 33, 45):
        resumed = Alarms()
        before = [alarm for line in lines[:cut] for alarm in resumed.see(line)]
        after = [alarm for line in lines[cut:] for alarm in resumed.see(line)]
        assert before + after == alarms(lines)


@pytest.mark.parametrize("symptom", SYMPTOMS, ids=lambda symptom: symptom.name)
def test_the_knobs_that_a_warning_names_exist(symptom):
    knobs = re.findall(r"config((?:\.[a-z_]+)+)", symptom.text)
    assert knobs
    for knob in knobs:
        found = grpo.get_config()
        for name in knob.strip(".").split("."):
            assert name in found, f"config{knob}"
            found = found[name]
