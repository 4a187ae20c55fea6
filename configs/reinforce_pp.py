"""RULE with Reinforce++ (arXiv 2501.03262), its baseline form, on the default world; the rest is configs/grpo.py.

Command:   python -m rule_jax.main --config=configs/reinforce_pp.py
Hardware:  as configs/grpo.py.
Seen:      seeds 0 to 4, mean (worst): forget refusal 0.99 (0.97), leak 0.01 (0.03); of base,
           boundary 0.99 (0.98), neighbours 0.97 (0.94), general 0.99 (0.98).
           The plain form, algorithm.baseline="none", lost one of the six targets of seed 3 (forget refusal 0.85, leak
           0.11): where refusals have become rare, one of them weighs little unless it is compared with its group.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import grpo


def get_config() -> ConfigDict:
    c: Any = grpo.get_config()
    c.algorithm = {
        "name": "reinforce_pp",
        "gamma": 1.0,
        "baseline": "group",
        "surrogate": c.algorithm.surrogate,
        "answers": c.algorithm.answers,
        "updates": c.algorithm.updates,
        "kl": {"placement": "reward", "estimator": "k1", "coef": 1e-2, "forget": 1.0, "target": 0.0, "gain": 0.1},
    }
    return c
