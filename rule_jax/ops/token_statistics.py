"""What a model thinks of given tokens, beyond their log-probability: the distribution that they are a draw from."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rule_jax.ops.logprobs import Head, by_chunks, log_softmax, project
from rule_jax.ops.shapes import check


class TokenStatistics(NamedTuple):
    """Of the next token at each place. logprob_BNA: float32, of the A tokens that were asked for, in nats.
    mean_BN, deviation_BN: float32, mean and standard deviation of the log-probability of a token that the model draws
    itself (minus its entropy; Min-K%++, arXiv 2404.02936). top_BN: int32, the likeliest token."""

    logprob_BNA: jax.Array
    mean_BN: jax.Array
    deviation_BN: jax.Array
    top_BN: jax.Array


def token_statistics(hidden_BND: jax.Array, head: Head, asked_BNA: jax.Array, *, chunk: int | None) -> TokenStatistics:
    """TokenStatistics of softmax(project(hidden, head)). head: the model's, as `logprobs.project` takes it.

    At most B * chunk rows of logits exist at a time; chunk: as of `by_chunks`. Not made to be differentiated.
    """
    check(hidden_BND=hidden_BND, asked_BNA=asked_BNA)

    def of_chunk(head: Head, hidden: jax.Array, asked: jax.Array) -> TokenStatistics:
        logp = log_softmax(project(hidden, head), 1.0)
        chance = jnp.exp(logp)
        mean = jnp.sum(chance * logp, axis=-1)
        variance = jnp.sum(chance * jnp.square(logp - mean[..., None]), axis=-1)
        return TokenStatistics(
            jnp.take_along_axis(logp, asked, axis=-1),
            mean,
            jnp.sqrt(variance),
            jnp.argmax(logp, axis=-1).astype(jnp.int32),
        )

    return by_chunks(of_chunk, (head,), (hidden_BND, asked_BNA), chunk)
