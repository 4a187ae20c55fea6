"""GRPO by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rule_jax.errors import UserError
from tests.algorithms.test_contract_algorithms import LENGTHS, REWARDS, draw, losses, targets_of

MASK = np.arange(4) < LENGTHS[..., None]


def on_policy(**changes):
    """(experience that no pass has scored, outputs at the policy itself)."""
    experience, _ = draw(**changes)
    outputs = experience.outputs
    sampled = experience.rollout._replace(logprobs_BGR=outputs.logprobs_BGR)
    return experience._replace(outputs=None, values_BGR=None, rollout=sampled), outputs


def test_loss_by_hand(algorithm):
    made = algorithm("grpo", kl__coef=0.1)
    assert not made.scored
    experience, outputs = on_policy()
    loss, metrics, _, _ = losses(made, experience, outputs)
    logp, entropy, reference = (np.asarray(x, np.float64) for x in outputs)
    rewards = np.asarray(REWARDS, np.float64)
    scaled = (rewards - rewards.mean(1, keepdims=True)) / (rewards.std(1, ddof=1, keepdims=True) + 1e-6)
    gain = kl = spread = 0.0
    for b in range(3):
        for g in range(4):
            for r in range(LENGTHS[b, g]):
                gap = reference[b, g, r] - logp[b, g, r]
                gain += scaled[b, g] / LENGTHS.sum()
                kl += (np.exp(gap) - 1 - gap) / LENGTHS.sum()
                spread += entropy[b, g, r] / LENGTHS.sum()
    np.testing.assert_allclose(loss, -gain + 0.1 * kl, rtol=1e-5)
    np.testing.assert_allclose(metrics["kl"], kl, rtol=1e-5)
    np.testing.assert_allclose(metrics["entropy"], spread, rtol=1e-5)
    assert metrics["sampler_gap"] == metrics["clip_fraction/low"] == metrics["clip_fraction/high"] == 0
    assert metrics["ratio/min"] == metrics["ratio/max"] == 1


def test_gradient_is_advantage_times_share(algorithm):
    made = algorithm("grpo", kl__placement="none")
    experience, outputs = on_policy()
    targets = made.weigh(targets_of(made, experience)[0])
    gradient = jax.grad(lambda o: losses(made, experience, o)[0])(outputs)
    np.testing.assert_allclose(gradient.logprobs_BGR, -targets.advantages_BGR * targets.weight_BGR, rtol=1e-6)


def test_entropy_bonus_by_hand(algorithm):
    experience, outputs = on_policy()
    plain = losses(algorithm("grpo"), experience, outputs)
    bonus = losses(algorithm("grpo", surrogate__entropy_coef=0.5), experience, outputs)
    np.testing.assert_allclose(bonus[0] - plain[0], -0.5 * plain[1]["entropy"], rtol=1e-4)


@pytest.mark.parametrize(
    ("aggregate", "short", "long"),
    [
        ("token_mean", 1 / 5, 1 / 5),
        ("sequence_mean", 1 / 2, 1 / 8),
        ("constant", 1 / 12, 1 / 12),
    ],
)
def test_shares_by_hand(aggregate, short, long, algorithm):
    # One prompt, answers of 1 and 4 tokens, room for 6.
    experience, _ = on_policy(lengths=np.array([[1, 4]], np.int32), size=6)
    made = algorithm("grpo", surrogate__aggregate=aggregate)
    weight = made.weigh(targets_of(made, experience)[0]).weight_BGR
    np.testing.assert_allclose(weight[0], [[short] + [0] * 5, [long] * 4 + [0] * 2], rtol=1e-6)


def test_answers_left_out_leave_the_denominators_too(algorithm):
    # Answers of 1 and 4 tokens in room for 4: the second is cut.
    experience, _ = on_policy(lengths=np.array([[1, 4, 2]], np.int32))
    for aggregate, short, two in (("token_mean", 1 / 3, 1 / 3), ("sequence_mean", 1 / 2, 1 / 4)):
        made = algorithm("grpo", surrogate__aggregate=aggregate, answers__mask_truncated=True)
        targets = targets_of(made, experience)[0]
        np.testing.assert_allclose(
            made.weigh(targets).weight_BGR[0], [[short, 0, 0, 0], [0] * 4, [two, two, 0, 0]], rtol=1e-6
        )
    # The cut answer's reward still counts in its group's mean: rewards 0, 1, 0.5 have mean 0.5.
    made = algorithm("grpo", advantage_scale="none", answers__mask_truncated=True)
    np.testing.assert_allclose(targets_of(made, experience)[0].advantages_BGR[0, 0, 0], -0.5, rtol=1e-6)


def test_scales_are_those_of_ops(algorithm):
    experience, _ = on_policy()

    def first(**changes):
        made = algorithm("grpo", **changes)
        return targets_of(made, experience)[0].advantages_BGR[0, :, 0]

    np.testing.assert_allclose(first(advantage_scale="none"), [-0.375, 0.625, 0.125, -0.375], rtol=1e-6)
    # Squares about the means: 0.6875 in the first group, 0.5 in the second, 0 in the third; twelve rewards.
    np.testing.assert_allclose(first(advantage_scale="batch", ddof=0)[1], 0.625 / np.sqrt(1.1875 / 12), rtol=1e-5)
    assert algorithm("grpo", ddof=0).min_samples == 2
    assert algorithm("grpo", ddof=2).min_samples == 3
    with pytest.raises(UserError, match=r"algorithm.advantage_scale='mean': it must be one of group, batch, none"):
        algorithm("grpo", advantage_scale="mean")


def test_estimators_in_the_loss(algorithm):
    experience, outputs = on_policy()
    gap = np.asarray(outputs.reference_BGR - outputs.logprobs_BGR, np.float64)[MASK]
    none = losses(algorithm("grpo", kl__placement="none"), experience, outputs)[0]
    for estimator, wanted in (("k2", gap**2 / 2), ("k3", np.exp(gap) - 1 - gap)):
        made = algorithm("grpo", kl__estimator=estimator, kl__coef=2.0)
        np.testing.assert_allclose(losses(made, experience, outputs)[0] - none, 2 * wanted.mean(), rtol=1e-4)


def test_kl_in_the_reward_by_hand(algorithm):
    made = algorithm("grpo", kl__placement="reward", kl__estimator="k1", kl__coef=0.5, advantage_scale="none")
    experience, _ = draw()
    outputs = experience.outputs
    gap = np.where(MASK, outputs.logprobs_BGR - outputs.reference_BGR, 0).astype(np.float64)
    shaped = np.asarray(REWARDS, np.float64) - 0.5 * gap.sum(-1)
    wanted = shaped - shaped.mean(1, keepdims=True)
    found = targets_of(made, experience)[0].advantages_BGR
    np.testing.assert_allclose(found, np.where(MASK, wanted[..., None], 0), rtol=1e-4, atol=1e-6)
    # A group of equal rewards has something to learn from its KL, but is still counted as one.
    assert (np.asarray(found)[2][MASK[2]] != 0).all()


def test_overlong_penalty_by_hand(algorithm):
    # Room for 4, a margin of 2: answers of 1, 2, 3 and 4 tokens pay 0, 0, 1/2 and 1 of the penalty.
    experience, _ = on_policy(lengths=np.array([[1, 2, 3, 4]], np.int32))
    experience = experience._replace(rewards_BG=jnp.ones((1, 4)))
    made = algorithm("grpo", advantage_scale="none", answers__overlong_margin=2, answers__overlong_penalty=0.8)
    found = targets_of(made, experience)[0].advantages_BGR[0, :, 0]
    np.testing.assert_allclose(found, np.array([1, 1, 0.6, 0.2]) - 0.7, rtol=1e-5)


def test_sequence_ratio_by_hand(algorithm):
    """GSPO: one ratio per answer, exp of the mean log-ratio; its gradient is spread evenly over the answer's tokens."""
    made = algorithm(
        "grpo",
        kl__placement="none",
        surrogate__ratio="sequence",
        surrogate__aggregate="sequence_mean",
        updates__epochs=2,
    )
    assert made.scored
    experience, later = draw()
    step = np.where(MASK, later.logprobs_BGR - experience.outputs.logprobs_BGR, 0).astype(np.float64)
    ratio = np.exp(step.sum(-1) / LENGTHS)
    rewards = np.asarray(REWARDS, np.float64)
    scaled = (rewards - rewards.mean(1, keepdims=True)) / (rewards.std(1, ddof=1, keepdims=True) + 1e-6)
    wanted = -np.minimum(ratio * scaled, np.clip(ratio, 0.8, 1.3) * scaled).mean()
    loss, gradient = jax.value_and_grad(lambda o: losses(made, experience, o)[0])(later)
    np.testing.assert_allclose(loss, wanted, rtol=1e-5)
    free = (np.clip(ratio, 0.8, 1.3) == ratio) | ((ratio < 0.8) & (scaled > 0)) | ((ratio > 1.3) & (scaled < 0))
    per_token = np.where(free, -ratio * scaled / 12 / LENGTHS, 0)[..., None]
    np.testing.assert_allclose(gradient.logprobs_BGR, np.where(MASK, per_token, 0), rtol=1e-4, atol=1e-7)
    assert not free.all()


def test_gradient_is_zero_beyond_the_clip(algorithm):
    """Several updates: tokens whose ratio has passed its bound in the direction of their advantage stay put."""
    made = algorithm("grpo", kl__placement="none", updates__epochs=2)
    experience, later = draw()
    ratio = np.exp(later.logprobs_BGR - experience.outputs.logprobs_BGR)
    targets = targets_of(made, experience)[0]
    advantages = np.asarray(targets.advantages_BGR)
    gradient = np.asarray(jax.grad(lambda o: losses(made, experience, o)[0])(later).logprobs_BGR)
    stuck = MASK & (((ratio > 1.3) & (advantages > 0)) | ((ratio < 0.8) & (advantages < 0)))
    moving = MASK & ~stuck & (advantages != 0)
    assert stuck.sum() >= 2
    assert (gradient[stuck] == 0).all()
    assert (gradient[moving] != 0).all()
    metrics = losses(made, experience, later)[1]
    np.testing.assert_allclose(
        metrics["clip_fraction/low"] + metrics["clip_fraction/high"], stuck.sum() / MASK.sum(), rtol=1e-5
    )
