"""What the algorithms share: their options, which tokens count, the KL's two places, and the loss of the policy.

An algorithm file says how token rewards become advantages; `assemble` makes an Algorithm of that and these options.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp

from rule_jax.algorithms import Algorithm, Coefficients, Experience, Metrics, PolicyOutputs, Targets
from rule_jax.errors import UserError
from rule_jax.ops import policy_loss
from rule_jax.ops.advantages import soft_overlong, token_rewards, zero_variance
from rule_jax.ops.masked import length_mask, masked_mean
from rule_jax.types import Rollout

KL = {"k1": policy_loss.kl_k1, "k2": policy_loss.kl_k2, "k3": policy_loss.kl_k3}
Aggregate = Literal["token_mean", "sequence_mean", "constant"]
Ratio = Literal["token", "sequence"]
Placement = Literal["none", "reward", "loss"]
Old = Literal["scored", "sampled"]


def one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raises UserError unless algorithm.NAME has one of the known values."""
    if value not in known:
        raise UserError(f"algorithm.{name}={value!r}: it must be one of {', '.join(known)}")


def within(name: str, value: float, low: float, high: float = float("inf")) -> None:
    """Raises UserError unless low <= algorithm.NAME <= high."""
    if not low <= value <= high:
        bounds = f"at least {low}" if high == float("inf") else f"between {low} and {high}"
        raise UserError(f"algorithm.{name}={value}: it must be {bounds}")


@dataclass(frozen=True)
class Surrogate:
    """The policy's loss. clip_low, clip_high, dual_clip: see ops.policy_loss.clipped_surrogate.

    ratio: "token", or "sequence": every token of an answer takes the geometric mean of its answer's ratios (GSPO,
    https://arxiv.org/abs/2507.18071 equation 7; the paper goes with aggregate="sequence_mean").
    aggregate: how token losses become one number: the mean over all tokens, the mean over answers of their token means,
    or the sum over all divided by the constant B * G * R (Dr. GRPO, https://arxiv.org/abs/2503.20783).
    entropy_coef: weight of an entropy bonus; 0 for none.
    """

    clip_low: float
    clip_high: float
    dual_clip: float
    ratio: Ratio
    aggregate: Aggregate
    entropy_coef: float

    def __post_init__(self) -> None:
        within("surrogate.clip_low", self.clip_low, 0, 1)
        within("surrogate.clip_high", self.clip_high, 0)
        within("surrogate.dual_clip", self.dual_clip, 1)
        one_of("surrogate.ratio", self.ratio, get_args(Ratio))
        one_of("surrogate.aggregate", self.aggregate, get_args(Aggregate))


@dataclass(frozen=True)
class Kl:
    """The pull towards the reference: nowhere, in the loss, or per token in the reward; see ops.policy_loss.kl_*.

    coef: its weight. forget: the part of it, 0 to 1, that holds on forget queries. What is to be forgotten must
    go far from the reference while all else stays, so below 1 a greater coef costs no forgetting.
    target: the KL in nats per token that an adaptive coefficient steers to; 0 keeps it fixed. gain:
    K_beta of the controller, https://arxiv.org/abs/1909.08593 section 2.2:
        e = clip(KL / target - 1, -0.2, 0.2),    coef <- coef (1 + gain e)
    """

    placement: Placement
    estimator: Literal["k1", "k2", "k3"]
    coef: float
    forget: float
    target: float
    gain: float

    def __post_init__(self) -> None:
        one_of("kl.placement", self.placement, get_args(Placement))
        one_of("kl.estimator", self.estimator, tuple(KL))
        for name in ("coef", "target", "gain"):
            within(f"kl.{name}", getattr(self, name), 0)
        within("kl.forget", self.forget, 0, 1)
        if self.placement == "loss" and self.estimator == "k1":
            raise UserError(
                "algorithm.kl.estimator=k1 with kl.placement=loss: inside the loss its expected on-policy gradient is "
                "zero, so it does nothing; use k3 or k2 there, or placement=reward"
            )
        if self.placement == "none" or not self.coef:
            where = f"has no effect with placement={self.placement} and coef={self.coef}"
            if self.target:
                raise UserError(
                    f"algorithm.kl.target={self.target} steers a coefficient that {where}; set target to 0, or "
                    "placement and coef"
                )
            if self.forget != 1:
                raise UserError(
                    f"algorithm.kl.forget={self.forget} is a part of a coefficient that {where}; set forget to 1, or "
                    "placement and coef"
                )

    def adapt(self, coef: float, kl: float) -> float:
        if not self.target:
            return coef
        return coef * (1 + self.gain * min(max(kl / self.target - 1, -0.2), 0.2))

    def cost(
        self, logprobs_BGR: jax.Array, reference_BGR: jax.Array, rollout: Rollout, coefs: Coefficients
    ) -> jax.Array:
        """[B, G, R]: what each token's distance to the reference costs."""
        cost_BGR = coefs["kl_coef"] * KL[self.estimator](logprobs_BGR, reference_BGR)
        if self.forget == 1:
            return cost_BGR
        assert rollout.forget_B is not None  # the loop tells it
        return jnp.where(rollout.forget_B, coefs["kl_forget"], 1.0)[:, None, None] * cost_BGR


@dataclass(frozen=True)
class Answers:
    """Which answers take part, and what their length costs.

    drop_zero_variance: groups whose rewards are all equal (by max - min, before any penalty) are left out, of the
    denominators too. mask_truncated: so are answers without an end; their rewards still count in their group's mean.
    overlong_margin, overlong_penalty: the reward of an answer falls by up to the penalty over the last margin tokens
    before the limit, see ops.advantages.soft_overlong; a margin of 0 costs nothing.
    """

    drop_zero_variance: bool
    mask_truncated: bool
    overlong_margin: int
    overlong_penalty: float

    def __post_init__(self) -> None:
        within("answers.overlong_margin", self.overlong_margin, 0)


@dataclass(frozen=True)
class Updates:
    """epochs: passes over a batch. minibatches: updates per pass, each on as many prompts.

    old: where there are several updates, whose log-probabilities the ratio is to: "scored", of a pass over the batch
    before the first of them, or "sampled", the sampler's own, which saves that pass. They are those of the policy that
    answered, but as exact as its decoding is, which in bfloat16 is less.
    """

    epochs: int
    minibatches: int
    old: Old

    def __post_init__(self) -> None:
        within("updates.epochs", self.epochs, 1)
        within("updates.minibatches", self.minibatches, 1)
        one_of("updates.old", self.old, get_args(Old))


class Estimate(NamedTuple):
    """advantages_BGR: 0 outside the mask. returns_BGR: what a critic is to learn, None without one."""

    advantages_BGR: jax.Array
    returns_BGR: jax.Array | None
    metrics: Metrics


def assemble(
    estimate: Callable[[Experience, jax.Array, jax.Array, Coefficients], Estimate],
    *,
    surrogate: Mapping[str, Any],
    kl: Mapping[str, Any],
    answers: Mapping[str, Any],
    updates: Mapping[str, Any],
    min_samples: int,
    value_loss: Any = None,
    coefficients: Mapping[str, float] | None = None,
) -> Algorithm:
    """The Algorithm of estimate(experience, rewards_BGR, mask_BGR, coefficients) and the shared options.

    rewards_BGR: per token, penalties included. mask_BGR: the tokens that take part. value_loss, coefficients: of the
    algorithm's own, beside the policy's.
    """
    surrogate_, kl_, answers_, updates_ = Surrogate(**surrogate), Kl(**kl), Answers(**answers), Updates(**updates)
    own: dict[str, float] = {name: getattr(surrogate_, name) for name in ("clip_low", "clip_high", "dual_clip")}
    if kl_.placement != "none":
        own["kl_coef"] = kl_.coef
        if kl_.forget != 1:
            own["kl_forget"] = kl_.forget
    if surrogate_.entropy_coef:
        own["entropy_coef"] = surrogate_.entropy_coef
    several = updates_.epochs * updates_.minibatches > 1
    old_scored = several and updates_.old == "scored"
    scored = old_scored or kl_.placement == "reward" or value_loss is not None

    def targets(experience: Experience, coefficients: Coefficients) -> tuple[Targets, Metrics]:
        outputs, replayed_B = experience.outputs, experience.replayed_B
        valid_BGR, mask_BGR = _valid(experience.rollout), _taking_part(answers_, experience)
        fresh_B = jnp.ones(len(mask_BGR), bool) if replayed_B is None else ~replayed_B
        rewards_BGR = _token_rewards(answers_, kl_, experience, coefficients)
        estimated = estimate(experience, rewards_BGR, mask_BGR, coefficients)
        return Targets(
            advantages_BGR=jnp.where(mask_BGR, estimated.advantages_BGR, 0.0),
            weight_BGR=mask_BGR.astype(jnp.float32),
            share_BGR=(valid_BGR & fresh_B[:, None, None]).astype(jnp.float32),
            replayed_B=replayed_B,
            old_BGR=_old(experience, scored=old_scored) if several else None,
            reference_BGR=None if outputs is None else outputs.reference_BGR,
            returns_BGR=estimated.returns_BGR,
            values_BGR=experience.values_BGR,
        ), {
            "zero_variance_groups": masked_mean(zero_variance(experience.rewards_BG), fresh_B),
            **estimated.metrics,
        }

    return Algorithm(
        coefficients={**own, **(coefficients or {})},
        targets=targets,
        weigh=lambda targets: targets._replace(
            weight_BGR=_shares(targets.weight_BGR, surrogate_.aggregate),
            share_BGR=_shares(targets.share_BGR, "token_mean"),
        ),
        loss=_loss(surrogate_, kl_),
        value_loss=value_loss,
        scored=scored,
        epochs=updates_.epochs,
        minibatches=updates_.minibatches,
        min_samples=min_samples,
        adapt=kl_.adapt,
    )


def _old(experience: Experience, *, scored: bool) -> jax.Array:
    if not scored:
        return experience.rollout.logprobs_BGR
    assert experience.outputs is not None  # such algorithms are scored
    return experience.outputs.logprobs_BGR


def _valid(rollout: Rollout) -> jax.Array:
    return length_mask(rollout.length_BG, rollout.response_BGR.shape[-1])


def _taking_part(answers: Answers, experience: Experience) -> jax.Array:
    """mask_BGR: the valid tokens of the answers that the options leave in."""
    mask_BGR = _valid(experience.rollout)
    if answers.mask_truncated:
        mask_BGR &= experience.rollout.finished_BG[..., None]
    if answers.drop_zero_variance:
        mask_BGR &= ~zero_variance(experience.rewards_BG)[:, None, None]
    return mask_BGR


def _token_rewards(answers: Answers, kl: Kl, experience: Experience, coefficients: Coefficients) -> jax.Array:
    """The answers' rewards at their ends, less the cost of length and, where it is placed there, of the KL."""
    rollout, rewards_BG, outputs = experience.rollout, experience.rewards_BG, experience.outputs
    if answers.overlong_margin:
        limit = rollout.response_BGR.shape[-1]
        overlong_BG = soft_overlong(rollout.length_BG, limit=limit, margin=answers.overlong_margin)
        rewards_BG = rewards_BG + answers.overlong_penalty * overlong_BG
    penalty_BGR = jnp.zeros(rollout.response_BGR.shape)
    if kl.placement == "reward":
        assert outputs is not None  # such algorithms are scored
        penalty_BGR = kl.cost(outputs.logprobs_BGR, outputs.reference_BGR, rollout, coefficients)
    return token_rewards(rewards_BG, penalty_BGR, _valid(rollout))


def _shares(weight_BGR: jax.Array, aggregate: Aggregate) -> jax.Array:
    """Weights of 0 and 1 to shares in the loss. Answers and batches of which nothing takes part have share 0."""
    if aggregate == "token_mean":
        return weight_BGR / jnp.maximum(jnp.sum(weight_BGR), 1)
    if aggregate == "sequence_mean":
        tokens_BG1 = jnp.sum(weight_BGR, axis=-1, keepdims=True)
        return weight_BGR / jnp.maximum(tokens_BG1, 1) / jnp.maximum(jnp.sum(tokens_BG1 > 0), 1)
    return weight_BGR / weight_BGR.size


def _loss(surrogate: Surrogate, kl: Kl) -> Callable[..., tuple[jax.Array, Metrics]]:
    """Algorithm.loss: the clipped surrogate, the KL where it is placed in the loss, and the entropy bonus."""

    def loss(
        outputs: PolicyOutputs, rollout: Rollout, targets: Targets, coefficients: Coefficients
    ) -> tuple[jax.Array, Metrics]:
        valid_BGR = _valid(rollout)

        def cut(x_BGR: jax.Array) -> jax.Array:  # what lies beyond the lengths may be NaN, and 0 NaN is NaN
            return jnp.where(valid_BGR, x_BGR, 0.0)

        def mean(x_BGR: jax.Array) -> jax.Array:
            return jnp.sum(targets.weight_BGR * x_BGR)

        def reported(x_BGR: jax.Array) -> jax.Array:
            return jnp.sum(targets.share_BGR * x_BGR)

        logprobs_BGR, entropy_BGR = cut(outputs.logprobs_BGR), cut(outputs.entropy_BGR)
        reference_BGR, sampled_BGR = cut(outputs.reference_BGR), cut(rollout.logprobs_BGR)
        current_BGR = jax.lax.stop_gradient(logprobs_BGR) if targets.old_BGR is None else cut(targets.old_BGR)
        old_BGR = current_BGR
        if targets.replayed_B is not None:
            old_BGR = jnp.where(targets.replayed_B[:, None, None], sampled_BGR, current_BGR)
        log_ratio_BGR = logprobs_BGR - old_BGR
        if surrogate.ratio == "sequence":
            log_ratio_BGR = cut(masked_mean(log_ratio_BGR, valid_BGR, axis=-1)[..., None])
        found = policy_loss.clipped_surrogate(
            log_ratio_BGR,
            targets.advantages_BGR,
            clip_low=coefficients["clip_low"],
            clip_high=coefficients["clip_high"],
            dual_clip=coefficients["dual_clip"],
        )
        total = mean(found.loss)
        if kl.placement == "loss":
            total += mean(kl.cost(logprobs_BGR, reference_BGR, rollout, coefficients))
        if surrogate.entropy_coef:
            total -= coefficients["entropy_coef"] * mean(entropy_BGR)
        return total, {
            "kl": reported(policy_loss.kl_k3(logprobs_BGR, reference_BGR)),
            "entropy": reported(entropy_BGR),
            "clip_fraction/low": reported(found.clipped_low),
            "clip_fraction/high": reported(found.clipped_high),
            "ratio/min": jnp.min(found.ratio, initial=jnp.inf, where=valid_BGR),
            "ratio/max": jnp.max(found.ratio, initial=0.0, where=valid_BGR),
            # The sampler and the scorer are two programs; how far they disagree before the first update is watched,
            # not assumed.
            "sampler_gap": reported(jnp.abs(logprobs_BGR - sampled_BGR)),
        }

    return loss
