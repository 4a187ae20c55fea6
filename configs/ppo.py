"""RULE with PPO (arXiv 2506.07171) on the default world."""

from typing import Any

from ml_collections import ConfigDict

from configs import grpo


def get_config() -> ConfigDict:
    c: Any = grpo.get_config()
    shared = {name: c.algorithm[name] for name in ("surrogate", "answers")}
    c.algorithm = {
        "name": "ppo",
        "gamma": 1.0,
        "lam": 0.95,
        "value_clip": 0.2,
        **shared,
        "kl": {"placement": "reward", "estimator": "k1", "coef": 1e-2, "target": 0.0, "gain": 0.1},
        "updates": {"epochs": 2, "minibatches": 2},
    }
    return c
