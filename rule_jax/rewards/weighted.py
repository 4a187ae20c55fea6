"""Several rewards as one: a weighted sum, times gates.

    r = g_1 g_2 ... (w_1 r_1 + w_2 r_2 + ...)

A term adds to what an answer earns; a gate takes away from all of it, as `quality` does with noise. In a config both
are sections by the name of a reward of this room, so that each option can be changed on the command line:

    c.reward = {
        "name": "weighted",
        "terms": {"rule": {"weight": 1.0, ...}, "judge": {"weight": 0.5, ...}},
        "gates": {"quality": {...}},
    }
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rule_jax import plugin
from rule_jax.errors import UserError
from rule_jax.types import Answer, PromptRecord, Reward, Score


def make(*, terms: Mapping[str, Mapping[str, Any]], gates: Mapping[str, Mapping[str, Any]]) -> Reward:
    """The combination; what a term or gate has beside its weight are the options of the reward that it is named after.

    Parts of a Score: "<name>" is what that reward gave before its weight, "<name>/<part>" what its parts were.
    Raises UserError for no terms, a name on both sides, a weight that is no finite number, and whatever a reward
    refuses.
    """
    if not terms:
        raise UserError("reward.terms is empty: give at least one reward with its weight")
    both = sorted(terms.keys() & gates.keys())
    if both:
        raise UserError(f"reward.terms and reward.gates both have {', '.join(both)}: each reward counts once")
    weights = [term.get("weight") for term in terms.values()]
    for name, weight in zip(terms, weights):
        if not isinstance(weight, int | float) or not math.isfinite(weight):
            raise UserError(f"reward.terms.{name}.weight is {weight!r}: it must be a finite number")
    names = [*terms, *gates]
    rewards = [_build(name, {k: v for k, v in term.items() if k != "weight"}) for name, term in terms.items()]
    rewards += [_build(name, gate) for name, gate in gates.items()]

    def reward(records: Sequence[PromptRecord], answers: Sequence[Answer]) -> list[Score]:
        by_reward = [part(records, answers) for part in rewards]
        return [_combine(names, weights, scores) for scores in zip(*by_reward, strict=True)]

    return reward


def _build(name: str, options: Mapping[str, Any]) -> Reward:
    return plugin.make("rewards", {"name": name, **options})


def _combine(names: Sequence[str], weights: Sequence[Any], scores: Sequence[Score]) -> Score:
    """One answer's scores, terms first, as one."""
    terms, gates = scores[: len(weights)], scores[len(weights) :]
    total = sum(weight * score.total for weight, score in zip(weights, terms)) * math.prod(gate.total for gate in gates)
    parts: dict[str, float] = {}
    for name, score in zip(names, scores):
        parts[name] = score.total
        parts |= {f"{name}/{part}": value for part, value in score.parts.items()}
    return Score(float(total), parts)
