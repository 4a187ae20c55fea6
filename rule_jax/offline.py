"""The loss of a baseline: a weighted sum of terms, each an offline objective on one part of the data.

A term on what is to be forgotten and one on what is to be kept, put together at will, make most baselines: ascent or
NPO on the first, likelihood (GDR) or divergence (KLR) on the second.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rule_jax import microbatches, scoring
from rule_jax.models.decoder import Model, Params
from rule_jax.objectives import Coefficients, Distributions, LogProbs, Objective, States
from rule_jax.ops.teacher import Taught, taught
from rule_jax.programs import Loss, cast
from rule_jax.types import Packed


class Term(NamedTuple):
    """objective: of this term. of: the part of a batch that it reads. weight: of it in the sum."""

    objective: Objective
    of: str
    weight: float


def coefficients(terms: Mapping[str, Term]) -> dict[str, dict[str, float]]:
    """What a loss of these terms takes as coefficients: those of each objective, and its weight."""
    return {name: {**term.objective.coefficients, "weight": term.weight} for name, term in terms.items()}


def reads_reference(terms: Mapping[str, Term]) -> bool:
    """Whether one of the terms looks at the reference."""
    return any(isinstance(t.objective.reads, Distributions) or t.objective.reads.reference for t in terms.values())


def loss_of(model: Model, terms: Mapping[str, Term], *, chunk: int | None, dtype: Any) -> Loss:
    """sum_i weight_i L_i(part of the batch). Batches are {part: Packed}, coefficients as from `coefficients`.

    metrics: "<term>/loss" and what the objectives report, "<term>/<metric>". The reference is read where a term needs
    it. chunk: tokens of a row whose logits exist at once, None for all.
    """

    def prepare(batch: Mapping[str, Packed]) -> dict[str, Packed]:
        return {name: term.objective.weigh(batch[term.of]) for name, term in terms.items()}

    def apply(
        params: Params, reference: Params, prepared: Mapping[str, Packed], coefficients: Mapping[str, Any]
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        params, reference = cast(params, dtype), cast(reference, dtype)
        total, metrics = jnp.float32(0), {}
        for name, (objective, _, _) in terms.items():
            own, packed = coefficients[name], prepared[name]
            seen = _seen(model, params, reference, packed, objective.reads, own, chunk)
            value, found = objective.loss(seen, packed, own)
            total += own["weight"] * value
            metrics |= {f"{name}/loss": value, **{f"{name}/{key}": number for key, number in found.items()}}
        return total, metrics

    return Loss(prepare, apply, partial(microbatches.of_packed, model.config))


def _seen(
    model: Model,
    params: Params,
    reference: Params,
    packed: Packed,
    reads: LogProbs | Distributions | States,
    coefficients: Coefficients,
    chunk: int | None,
) -> Any:
    """What an objective reads, as `reads` says; no gradient reaches the reference."""

    def logprobs(params: Params) -> jax.Array:
        return scoring.sequence_logprobs(model, params, packed, chunk)

    match reads:
        case LogProbs(reference=False):
            return logprobs(params)
        case LogProbs():
            return logprobs(params), jax.lax.stop_gradient(logprobs(reference))
        case States(layer, with_reference):
            states_BTD = model.packed_states(params, packed, layer)
            held = jax.lax.stop_gradient(model.packed_states(reference, packed, layer)) if with_reference else None
            return (states_BTD, held) if with_reference else states_BTD
        case Distributions(penalty):
            lowered = coefficients[penalty] if penalty else 0.0

            def look(hidden_BND: jax.Array, held_BND: jax.Array, tokens_BN: jax.Array) -> Taught:
                heads = model.head(params), model.head(reference)
                return taught(hidden_BND, heads[0], held_BND, heads[1], tokens_BN, penalty=lowered, chunk=chunk)

            return scoring.of_sequences(
                packed, tuple(model.packed_hidden(p, packed) for p in (params, reference)), look
            )
