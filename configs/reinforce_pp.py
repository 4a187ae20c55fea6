"""RULE with Reinforce++ (arXiv 2506.07171) on the default world; all but the algorithm is configs/grpo.py.

Command:   python -m rule_jax.main --config=configs/reinforce_pp.py
Hardware:  as configs/grpo.py.
Seen:      seeds 0 to 4, mean (worst): forget refusal 1.00 (1.00), leak 0.00 (0.00); of base,
           boundary 0.99 (0.99), neighbours 0.97 (0.94), general 0.99 (0.95).
           Measured before stage 1 took smaller steps and the base read more general facts.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import grpo


def get_config() -> ConfigDict:
    c: Any = grpo.get_config()
    c.algorithm = {
        "name": "reinforce_pp",
        "gamma": 1.0,
        "baseline": "none",
        "surrogate": c.algorithm.surrogate,
        "answers": c.algorithm.answers,
        "updates": c.algorithm.updates,
        "kl": {"placement": "reward", "estimator": "k1", "coef": 1e-2, "target": 0.0, "gain": 0.1},
    }
    return c
