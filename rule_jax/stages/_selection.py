"""Which groups of a rollout are learnt from: an update costs most of a step, and answers that all earned the same teach
it nothing.

Where config.boundary_optimization.kept_prompts is set, more prompts are sampled than are learnt from, always as many,
so that shapes do not change: groups whose answers earned differently, and where there are too few of them, others,
which have no advantage and only the KL's pull. Which of many is left to chance. To go by how far rewards lie apart
would favour the side with the coarser reward: a leak costs all of it, a wrong answer half.
Source: dynamic sampling, DAPO, https://arxiv.org/abs/2503.14476 section 3.2. Departs: nothing is sampled anew.
"""

from typing import Any

import numpy as np

STREAM = 6  # of chance: which of the groups


def prompts(settings: Any) -> int:
    """How many prompts a step learns from; settings: config.boundary_optimization."""
    return settings.kept_prompts or settings.forget_prompts + settings.boundary_prompts


def kept(rewards_BG: np.ndarray, count: int, seed: int, step: int) -> np.ndarray:
    """int64 [count]: rows in ascending order, those of which not all rewards are equal before the others. Chance, by
    seed and step alone, decides between them."""
    drawn_B = np.random.default_rng([seed, STREAM, step]).random(len(rewards_BG))
    equal_B = rewards_BG.max(axis=1) == rewards_BG.min(axis=1)
    return np.sort(np.lexsort((drawn_B, equal_B))[:count])
