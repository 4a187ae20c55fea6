"""Generation: a prompt is prefilled once, its G samples decode over the shared prefix."""

import jax
import jax.numpy as jnp

from rule_jax.models.decoder import Model, Params
from rule_jax.models.layouts import unstacked
from rule_jax.ops.categorical import categorical
from rule_jax.ops.logprobs import log_softmax, project
from rule_jax.types import Prompts, Rollout


def row_keys(key: jax.Array, rows_B: jax.Array, samples: int) -> jax.Array:
    """keys_BG: one per (row number, sample), so that an answer does not depend on who shares its batch or device."""

    def of_row(row: jax.Array) -> jax.Array:
        return jax.vmap(lambda sample: jax.random.fold_in(jax.random.fold_in(key, row), sample))(jnp.arange(samples))

    return jax.vmap(of_row)(rows_B)


def sample_token(keys_BG: jax.Array, logits_BGV: jax.Array, temperature: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(token_BG, logprob_BG): drawn from softmax(logits / temperature), or the argmax at temperature 0.

    logits_BGV: G is 1 where all samples draw from the same. The log-probability is the one under the distribution that
    was drawn from; for greedy it is that at temperature 1.
    """
    logp_BGV = log_softmax(logits_BGV, jnp.where(temperature > 0, temperature, 1.0))
    logp_BGV = jnp.broadcast_to(logp_BGV, (*keys_BG.shape, logp_BGV.shape[-1]))
    token_BG = jax.lax.cond(
        temperature > 0,
        lambda: categorical(keys_BG, logp_BGV),
        lambda: jnp.argmax(logp_BGV, axis=-1).astype(jnp.int32),
    )
    return token_BG, jnp.take_along_axis(logp_BGV, token_BG[..., None], axis=-1)[..., 0]


def generate(
    model: Model,
    params: Params,
    prompts: Prompts,
    key: jax.Array,
    rows_B: jax.Array,
    temperature: jax.Array,
    *,
    samples: int,
    max_new_tokens: int,
    eos_ids: tuple[int, ...],
) -> Rollout:
    """`samples` answers to each prompt, up to and including the first EOS, at most max_new_tokens long.

    rows_B: the row numbers that the random keys are made from. temperature: a float32 scalar, 0 for greedy. The loop
    ends when every answer has. Logprobs equal teacher-forced scores of the same tokens (ops.logprobs.token_logprobs
    over model.response_hidden at the same temperature); a test holds it to that.
    """
    B, G, R = prompts.tokens_BP.shape[0], samples, max_new_tokens
    params = unstacked(params)  # once, not for every token
    head = model.head(params)
    keys_BG = row_keys(key, rows_B, G)
    eos = jnp.asarray(eos_ids, jnp.int32)

    def draw(hidden_BGD: jax.Array, step: jax.Array | int, done_BG: jax.Array) -> tuple[jax.Array, ...]:
        keys = jax.vmap(jax.vmap(lambda k: jax.random.fold_in(k, step)))(keys_BG)
        token_BG, logp_BG = sample_token(keys, project(hidden_BGD, head), temperature)
        token_BG = jnp.where(done_BG, eos[0], token_BG)
        return token_BG, jnp.where(done_BG, 0.0, logp_BG), done_BG | jnp.isin(token_BG, eos)

    last_BD, cache = model.prefill(params, prompts, G, max(R - 1, 1))  # the loop is traced even where it never runs
    token_BG, logp_BG, done_BG = draw(last_BD[:, None], 0, jnp.zeros((B, G), bool))
    response_BGR = jnp.full((B, G, R), eos[0]).at[:, :, 0].set(token_BG)
    logp_BGR = jnp.zeros((B, G, R)).at[:, :, 0].set(logp_BG)
    length_BG = jnp.ones((B, G), jnp.int32)

    def unfinished(state: tuple) -> jax.Array:
        return (state[0] < R) & ~jnp.all(state[2])

    def body(state: tuple) -> tuple:
        step, token_BG, done_BG, response_BGR, logp_BGR, length_BG, cache = state
        hidden_BGD, cache = model.decode(params, token_BG, step - 1, prompts, cache)
        length_BG = length_BG + ~done_BG
        token_BG, logp_BG, done_BG = draw(hidden_BGD, step, done_BG)
        response_BGR = jax.lax.dynamic_update_index_in_dim(response_BGR, token_BG, step, axis=2)
        logp_BGR = jax.lax.dynamic_update_index_in_dim(logp_BGR, logp_BG, step, axis=2)
        return step + 1, token_BG, done_BG, response_BGR, logp_BGR, length_BG, cache

    state = (jnp.int32(1), token_BG, done_BG, response_BGR, logp_BGR, length_BG, cache)
    _, _, done_BG, response_BGR, logp_BGR, length_BG, _ = jax.lax.while_loop(unfinished, body, state)
    return Rollout(prompts, response_BGR, length_BG, done_BG, logp_BGR)
