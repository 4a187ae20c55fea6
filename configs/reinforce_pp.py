"""RULE with Reinforce++ (arXiv 2506.07171) on the default world."""

from typing import Any

from ml_collections import ConfigDict

from configs import grpo


def get_config() -> ConfigDict:
    c: Any = grpo.get_config()
    shared = {name: c.algorithm[name] for name in ("surrogate", "answers", "updates")}
    c.algorithm = {
        "name": "reinforce_pp",
        "gamma": 1.0,
        "baseline": "none",
        **shared,
        "kl": {"placement": "reward", "estimator": "k1", "coef": 1e-2, "target": 0.0, "gain": 0.1},
    }
    return c
