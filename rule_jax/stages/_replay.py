"""Replay of hard groups: groups that earned little early on are kept with the sampler's log-probabilities, and a few
join the batches of later steps.

Of a replayed group the old policy is the one that sampled it, so its ratio is an importance weight, and the surrogate
clips it. The buffer is a tuple of host arrays of a fixed size, the same on every process and part of the checkpoint;
what is stored and what is drawn are pure functions of it, the seed and the step.
Source: ReRULE, https://arxiv.org/abs/2606.15333. Departs: a group whose rewards are all equal is not kept, since it has
nothing to teach however often it is seen.
"""

from typing import Any, NamedTuple

import jax
import numpy as np

from rule_jax import sharding
from rule_jax.types import Prompts, Rollout

STREAM = 5  # of chance: which groups are drawn


class Buffer(NamedTuple):
    """Groups, the hardest first. rewards_BG: float32. step_B: int32, the step that sampled a group; -1: no group."""

    rollout: Rollout
    rewards_BG: np.ndarray
    step_B: np.ndarray


def empty(settings: Any, prompt_tokens: int) -> Buffer | None:
    """Room for the groups that config.boundary_optimization.replay asks for; None where nothing is replayed."""
    B, P, G, R = settings.replay.capacity, prompt_tokens, settings.samples, settings.max_new_tokens
    if not settings.replay.groups:
        return None
    return Buffer(
        Rollout(
            Prompts(np.zeros((B, P), np.int32), np.ones(B, np.int32)),
            response_BGR=np.zeros((B, G, R), np.int32),
            length_BG=np.ones((B, G), np.int32),
            finished_BG=np.zeros((B, G), bool),
            logprobs_BGR=np.zeros((B, G, R), np.float32),
            forget_B=np.zeros(B, bool),
        ),
        rewards_BG=np.zeros((B, G), np.float32),
        step_B=np.full(B, -1, np.int32),
    )


def store(buffer: Buffer | None, settings: Any, fresh: tuple[Rollout, jax.Array], step: int) -> Buffer | None:
    """The buffer with the hard groups of a step: mean reward at most settings.max_reward, rewards not all equal.

    Only the first settings.store_steps steps are stored. Where room is short the groups of the least mean reward stay,
    the older of equals.
    """
    if buffer is None or step >= settings.store_steps:
        return buffer
    rollout, rewards_BG = jax.tree.map(sharding.whole, fresh)
    hard_B = (rewards_BG.mean(axis=1) <= settings.max_reward) & (rewards_BG.max(axis=1) > rewards_BG.min(axis=1))
    new = Buffer(rollout, rewards_BG, np.where(hard_B, step, -1).astype(np.int32))
    both: Buffer = jax.tree.map(lambda *rows: np.concatenate(rows), buffer, new)
    ease_B = np.where(both.step_B >= 0, both.rewards_BG.mean(axis=1), np.inf)
    kept = np.argsort(ease_B, kind="stable")[: len(buffer.step_B)]
    return jax.tree.map(lambda x: x[kept], both)


def draw(buffer: Buffer | None, settings: Any, seed: int, step: int) -> tuple[Rollout, np.ndarray] | None:
    """settings.groups different groups and their rewards; None while groups are still stored, or too few were."""
    if buffer is None or step < settings.store_steps:
        return None
    filled = np.flatnonzero(buffer.step_B >= 0)
    if len(filled) < settings.groups:
        return None
    rows = np.random.default_rng([seed, STREAM, step]).choice(filled, settings.groups, replace=False)
    return jax.tree.map(lambda x: x[rows], (buffer.rollout, buffer.rewards_BG))


def facts(buffer: Buffer | None, step: int) -> dict[str, float]:
    """What a user watches: how many groups are kept, their mean reward and their mean age in steps."""
    filled_B = np.zeros(0, bool) if buffer is None else buffer.step_B >= 0
    if buffer is None or not filled_B.any():
        return {}
    return {
        "replay/stored": float(filled_B.sum()),
        "replay/reward": float(buffer.rewards_BG[filled_B].mean()),
        "replay/age": float(step - buffer.step_B[filled_B].mean()),
    }
