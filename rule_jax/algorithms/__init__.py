"""On-policy algorithms: rewards to targets, and targets to a loss, on arrays alone. One file each.

Every file has `make(**kw) -> Algorithm`; the signature of make is the schema of the config's `algorithm` section.
"""

from collections.abc import Mapping
from typing import Callable, NamedTuple

import jax

from rule_jax.types import Rollout


class PolicyOutputs(NamedTuple):
    """What a forward pass over a rollout yields, at the sampling temperature; entries beyond a length are arbitrary.

    logprobs_BGR: of the sampled tokens under the policy. entropy_BGR: of the policy's distribution there.
    reference_BGR: of the sampled tokens under the KL reference pi_rej. All float32, in nats.
    """

    logprobs_BGR: jax.Array
    entropy_BGR: jax.Array
    reference_BGR: jax.Array


class Targets(NamedTuple):
    """What the loss needs to know of the whole batch, so that microbatches of it add up.

    advantages_BGR: per token. weight_BGR: the share of each token in the loss, 0 beyond the length; the shares of a
    global batch sum to 1 under a mean.
    """

    advantages_BGR: jax.Array
    weight_BGR: jax.Array


Coefficients = Mapping[str, float | jax.Array]
Metrics = dict[str, jax.Array]


class Algorithm(NamedTuple):
    """coefficients: numbers of the loss that reach the compiled program as inputs, so that a sweep never recompiles.

    advantages(rollout, rewards_BG) -> Targets, over the whole batch.
    loss(outputs, rollout, targets, coefficients) -> (scalar, metrics), sums that add over microbatches.
    min_samples: the smallest group that the algorithm makes sense for.
    """

    coefficients: Mapping[str, float]
    advantages: Callable[[Rollout, jax.Array], Targets]
    loss: Callable[[PolicyOutputs, Rollout, Targets, Coefficients], tuple[jax.Array, Metrics]]
    min_samples: int
