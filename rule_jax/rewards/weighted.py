"""Several rewards as one: a weighted sum, times gates.

    r = g_1 g_2 ... (w_1 r_1 + w_2 r_2 + ...)

A term adds to what an answer earns; a gate takes away from all of it, as `quality` does with noise. In a config:

    c.reward = {
        "name": "weighted",
        "terms": ({"name": "rule", "weight": 1.0, ...}, {"name": "judge", "weight": 0.5, ...}),
        "gates": ({"name": "quality", ...},),
    }
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rule_jax import plugin
from rule_jax.errors import UserError
from rule_jax.types import Answer, PromptRecord, Reward, Score


def make(*, terms: Sequence[Mapping[str, Any]], gates: Sequence[Mapping[str, Any]]) -> Reward:
    """The combination of rewards of this room; what a term or gate has beside its name and weight are its options.

    Parts of a Score: "<name>" is what that reward gave before its weight, "<name>/<part>" what its parts were.
    Raises UserError for no terms, a name twice, a weight that is no finite number, and whatever a reward refuses.
    """
    if not terms:
        raise UserError("reward weighted: terms is empty; give at least one {name, weight, ...}")
    names = [_take(entry, "name") for entry in (*terms, *gates)]
    doubled = {name for name in names if names.count(name) > 1}
    if doubled:
        raise UserError(f"reward weighted: {', '.join(sorted(doubled))} stands there twice; each reward counts once")
    weights = [_take(term, "weight") for term in terms]
    for name, weight in zip(names, weights):
        if not isinstance(weight, int | float) or not math.isfinite(weight):
            raise UserError(f"reward weighted: the weight of {name} is {weight!r}, it must be a finite number")
    parts = [_build(name, entry, ("name", "weight")) for name, entry in zip(names, terms)]
    factors = [_build(name, entry, ("name",)) for name, entry in zip(names[len(terms) :], gates)]

    def reward(records: Sequence[PromptRecord], answers: Sequence[Answer]) -> list[Score]:
        by_reward = [part(records, answers) for part in (*parts, *factors)]
        return [_combine(names, weights, scores) for scores in zip(*by_reward, strict=True)]

    return reward


def _combine(names: Sequence[str], weights: Sequence[float], scores: Sequence[Score]) -> Score:
    """One answer's scores, terms first, as one."""
    terms, gates = scores[: len(weights)], scores[len(weights) :]
    total = sum(weight * score.total for weight, score in zip(weights, terms)) * math.prod(gate.total for gate in gates)
    parts: dict[str, float] = {}
    for name, score in zip(names, scores):
        parts[name] = score.total
        parts |= {f"{name}/{part}": value for part, value in score.parts.items()}
    return Score(float(total), parts)


def _take(entry: Mapping[str, Any], key: str) -> Any:
    if key not in entry:
        raise UserError(f"reward weighted: {dict(entry)} has no {key!r}")
    return entry[key]


def _build(name: str, entry: Mapping[str, Any], apart: Sequence[str]) -> Reward:
    options = {key: value for key, value in entry.items() if key not in apart}
    try:
        return plugin.load("rewards", name).make(**options)
    except TypeError as error:  # the signature is the schema
        raise UserError(f"reward weighted: {name} does not take these options: {error}") from None
