"""On-policy algorithms: rewards to targets, and targets to a loss, on arrays alone. One file each.

Every file has `make(**kw) -> Algorithm`; the signature of make is the schema of the config's `algorithm` section. What
the algorithms share, options and the loss of the policy, is in `_policy.py`.
"""

from collections.abc import Mapping
from typing import Callable, NamedTuple

import jax

from rule_jax.types import Rollout

Coefficients = Mapping[str, float | jax.Array]
Metrics = dict[str, jax.Array]


class PolicyOutputs(NamedTuple):
    """What a forward pass over a rollout yields, at the sampling temperature; entries beyond a length are arbitrary.

    logprobs_BGR: of the sampled tokens under the policy. entropy_BGR: of the policy's distribution there.
    reference_BGR: of the sampled tokens under the KL reference pi_rej. All float32, in nats.
    """

    logprobs_BGR: jax.Array
    entropy_BGR: jax.Array
    reference_BGR: jax.Array


class Experience(NamedTuple):
    """A batch before its first update: what was sampled, what it earned and what the models say of it.

    replayed_B: bool, groups that an older policy sampled, or None where there are none. outputs: of the policy that is
    about to be updated; None unless the algorithm is `scored`. values_BGR: of the critic, at the states that the tokens
    are drawn from; None without a critic.
    """

    rollout: Rollout
    rewards_BG: jax.Array
    replayed_B: jax.Array | None
    outputs: PolicyOutputs | None
    values_BGR: jax.Array | None


class Targets(NamedTuple):
    """What the updates on a batch need to know of the whole of it.

    advantages_BGR: per token. weight_BGR: 1 on tokens that take part and 0 elsewhere; after Algorithm.weigh the share
    of each token in the loss. share_BGR: the same for what is reported: after weigh the shares of the fresh tokens sum
    to 1. replayed_B: as in Experience.
    old_BGR, reference_BGR: log-probabilities before the first update. The former is None where there is but one update,
    when the old policy is the policy itself; the latter where no pass has computed it. returns_BGR, values_BGR: the
    critic's targets and its values before the first update; None without a critic.
    """

    advantages_BGR: jax.Array
    weight_BGR: jax.Array
    share_BGR: jax.Array
    replayed_B: jax.Array | None
    old_BGR: jax.Array | None
    reference_BGR: jax.Array | None
    returns_BGR: jax.Array | None
    values_BGR: jax.Array | None


class Algorithm(NamedTuple):
    """An algorithm as programs.py and the loop take it.

    coefficients: numbers that reach the compiled programs as inputs, so that a sweep never recompiles.
    targets(experience, coefficients) -> (Targets, metrics), over the whole batch, once per rollout.
    weigh(targets) -> targets whose weights are normalised over the rows of one update, so that its microbatches add up.
    loss(outputs, rollout, targets, coefficients) -> (scalar, metrics), of the policy. Over microbatches the scalar and
    the metrics add up, but for names that end in /min and /max, of which the least and the greatest counts.
    value_loss(values_BGR, rollout, targets, coefficients): the same of the critic; None for algorithms without one.
    scored: a pass over the batch before the first update computes old log-probabilities, reference and values.
    epochs, minibatches: passes over a batch, and updates per pass. min_samples: the smallest group that makes sense.
    adapt(kl_coef, kl) -> kl_coef for the next rollout, both host floats.
    """

    coefficients: Mapping[str, float]
    targets: Callable[[Experience, Coefficients], tuple[Targets, Metrics]]
    weigh: Callable[[Targets], Targets]
    loss: Callable[[PolicyOutputs, Rollout, Targets, Coefficients], tuple[jax.Array, Metrics]]
    value_loss: Callable[[jax.Array, Rollout, Targets, Coefficients], tuple[jax.Array, Metrics]] | None
    scored: bool
    epochs: int
    minibatches: int
    min_samples: int
    adapt: Callable[[float, float], float]
