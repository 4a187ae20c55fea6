"""How far a model is from a teacher's whole distribution, token by token, without the logits of the whole batch."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rule_jax.ops.logprobs import Head, by_chunks, log_softmax, project
from rule_jax.ops.shapes import check


class Taught(NamedTuple):
    """Of the next token at each place, in nats, float32. With q the teacher's distribution and p the model's:
    cross_entropy_BN = - sum_v q_v log p_v; entropy_BN = - sum_v q_v log q_v. Their difference is KL(q || p)."""

    cross_entropy_BN: jax.Array
    entropy_BN: jax.Array


def taught(
    hidden_BND: jax.Array,
    head: Head,
    teacher_BND: jax.Array,
    teacher_head: Head,
    tokens_BN: jax.Array,
    *,
    penalty: jax.Array | float = 0.0,
    chunk: int | None = None,
) -> Taught:
    """Taught of a model and a teacher, each given by hidden states and head. No gradient reaches the teacher.

    penalty: the teacher's logit of the given token is lowered by it before the softmax. chunk: as of `by_chunks`.
    """
    check(hidden_BND=hidden_BND, teacher_BND=teacher_BND, tokens_BN=tokens_BN)

    def of_chunk(head: Head, teacher_head: Head, hidden: jax.Array, teacher: jax.Array, tokens: jax.Array) -> Taught:
        is_token_BNV = jnp.arange(teacher_head.weight_VD.shape[0])[None, None] == tokens[..., None]
        logits_BNV = project(teacher, teacher_head) - jnp.where(is_token_BNV, penalty, 0.0)
        log_q_BNV = jax.lax.stop_gradient(log_softmax(logits_BNV, 1.0))
        log_p_BNV, q_BNV = log_softmax(project(hidden, head), 1.0), jnp.exp(log_q_BNV)
        return Taught(-jnp.sum(q_BNV * log_p_BNV, axis=-1), -jnp.sum(q_BNV * log_q_BNV, axis=-1))

    return by_chunks(of_chunk, (head, teacher_head), (hidden_BND, teacher_BND, tokens_BN), chunk)
