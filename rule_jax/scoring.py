"""What a model thinks of answers that were sampled: log-probabilities and values, teacher-forced over shared prefixes.

A rollout without a packing is scored as a rectangle: every answer is R places wide, behind one copy of its prompt. With
one, its tokens lie in rows that answers fill as far as they are long, and what is found there goes back to [B, G, R].
Either way it is arbitrary beyond an answer's length.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from rule_jax.models.decoder import Model, Params
from rule_jax.ops.logprobs import asked_logprobs, project, token_logprobs
from rule_jax.types import Packed, Packing, Rollout


def logprobs(
    model: Model, params: Params, rollout: Rollout, temperature: jax.Array | float, chunk: int | None
) -> tuple[jax.Array, jax.Array]:
    """(logprobs_BGR, entropy_BGR) of a rollout's tokens, in nats, float32. chunk: as of `ops.logprobs.by_chunks`."""
    head, packing = model.head(params), rollout.packing
    if packing is None:
        B, G, R = rollout.response_BGR.shape
        hidden_BGRD = model.response_hidden(params, rollout.prompts, rollout.response_BGR)
        hidden_BND, tokens_BN = hidden_BGRD.reshape(B, G * R, -1), rollout.response_BGR.reshape(B, G * R)
        found = token_logprobs(hidden_BND, head, tokens_BN, temperature=temperature, chunk=chunk)
        return found[0].reshape(B, G, R), found[1].reshape(B, G, R)
    last_BD, hidden_BTD, next_BT = _in_rows(model, params, rollout, packing)
    asked_B1G = rollout.response_BGR[:, None, :, 0]
    first_B1G, entropy_B1 = asked_logprobs(last_BD[:, None], head, asked_B1G, temperature=temperature, chunk=chunk)
    after_BT, entropy_BT = token_logprobs(hidden_BTD, head, next_BT, temperature=temperature, chunk=chunk)
    return _of_answers(packing, first_B1G[:, 0], after_BT), _of_answers(packing, entropy_B1, entropy_BT)


def sequence_logprobs(model: Model, params: Params, packed: Packed, chunk: int | None) -> jax.Array:
    """logprobs_BT of whole sequences, in nats, float32: [b, t] that of tokens_BT[b, t], as `of_sequences` says.

    chunk: as of `ops.logprobs.by_chunks`.
    """

    def look(hidden_BND: jax.Array, tokens_BN: jax.Array) -> jax.Array:
        return token_logprobs(hidden_BND, model.head(params), tokens_BN, chunk=chunk)[0]

    return of_sequences(packed, (model.packed_hidden(params, packed),), look)


def of_sequences(packed: Packed, states: tuple[jax.Array, ...], look: Callable[..., Any]) -> Any:
    """What `look` makes of the states that predict the tokens of whole sequences, a tree of [B, T]; 0 at a row's first
    token, and where `packed` says that nothing is asked for, which is then not looked at.

    states: [B, T, D] each. look(*states_BND, tokens_BN) -> a tree of [B, N].
    """
    tokens_BT, asked_BA = packed.tokens_BT, packed.asked_BA
    if asked_BA is None:
        found = look(*(x_BTD[:, :-1] for x_BTD in states), tokens_BT[:, 1:])
        return jax.tree.map(lambda x: jnp.pad(x, ((0, 0), (1, 0))), found)
    before_BA1 = jnp.maximum(asked_BA - 1, 0)[..., None]
    tokens_BA = jnp.take_along_axis(tokens_BT, asked_BA, axis=1)
    found = look(*(jnp.take_along_axis(x_BTD, before_BA1, axis=1) for x_BTD in states), tokens_BA)
    row_B1, first_1T = jnp.arange(len(tokens_BT))[:, None], jnp.arange(tokens_BT.shape[1])[None] == 0

    def placed(x_BA: jax.Array) -> jax.Array:
        return jnp.where(first_1T, 0, jnp.zeros(tokens_BT.shape, x_BA.dtype).at[row_B1, asked_BA].add(x_BA))

    return jax.tree.map(placed, found)


def values(critic: Model, params: Params, rollout: Rollout) -> jax.Array:
    """values_BGR, float32: V of the states that the rollout's tokens are drawn from. critic: see models/critic.py."""
    head, packing = critic.head(params), rollout.packing
    if packing is None:
        return project(critic.response_hidden(params, rollout.prompts, rollout.response_BGR), head)[..., 0]
    last_BD, hidden_BTD, _ = _in_rows(critic, params, rollout, packing)
    return _of_answers(packing, project(last_BD, head), project(hidden_BTD, head)[..., 0])


def _in_rows(
    model: Model, params: Params, rollout: Rollout, packing: Packing
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(last_BD, hidden_BTD, next_BT): the states of each prompt's last token and of each token of the packing's rows,
    and the token that follows there."""
    B = len(rollout.length_BG)
    tokens_N = jnp.concatenate([rollout.prompts.tokens_BP, rollout.response_BGR.reshape(B, -1)], axis=1).reshape(-1)
    rows = Packed(
        tokens_N[packing.from_BT],
        packing.segment_BT,
        packing.position_BT,
        weight_BT=(packing.next_BT > 0).astype(jnp.float32),
    )
    hidden_BTD = model.packed_hidden(params, rows, packing.trunk_BT, packing.whole_BT)
    last_BD = hidden_BTD.reshape(-1, hidden_BTD.shape[-1])[packing.last_B]
    return last_BD, hidden_BTD, tokens_N[packing.next_BT]


def _of_answers(packing: Packing, first_BG: jax.Array, after_BT: jax.Array) -> jax.Array:
    """[B, G, R] of what was found for first tokens ([B, 1]: for all of a prompt alike) and for those that follow."""
    B, G, _ = packing.answer_BGR.shape
    after_BGR = after_BT.reshape(-1)[packing.answer_BGR]
    return jnp.concatenate([jnp.broadcast_to(first_BG, (B, G))[..., None], after_BGR], axis=-1)
