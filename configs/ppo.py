"""RULE with PPO and a critic (arXiv 2506.07171) on the default world; all but stage 2 is configs/grpo.py.

Command:   python -m rule_jax.main --config=configs/ppo.py
Hardware:  as configs/grpo.py, and a critic of the policy's size with its own optimizer.
Seen:      seeds 0 to 4, mean (worst): forget refusal 1.00 (1.00), leak 0.00 (0.00); of base,
           boundary 1.00 (0.99), neighbours 0.97 (0.94), general 0.99 (0.98).
Departs:   the released code's PPO config builds no critic and runs GRPO; this one is PPO.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import grpo


def get_config() -> ConfigDict:
    c: Any = grpo.get_config()
    c.boundary_optimization.critic.schedule.peak = 1e-3
    c.algorithm = {
        "name": "ppo",
        "gamma": 1.0,
        "lam": 0.95,
        "value_clip": 0.2,
        "surrogate": c.algorithm.surrogate,
        "answers": c.algorithm.answers,
        "kl": {"placement": "reward", "estimator": "k1", "coef": 1e-2, "forget": 1.0, "target": 0.0, "gain": 0.1},
        "updates": {"epochs": 1, "minibatches": 2, "old": "scored"},
    }
    return c
