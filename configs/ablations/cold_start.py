"""No Rejection Steering: reinforcement learning starts from the base model, which is also the KL reference.

Asks:     does RL find refusals by itself? (paper: no; forgetting worsens by 43.7 points)
Command:  python -m rule_jax.main --config=configs/ablations/cold_start.py
Seen:     seed 0, first ten steps: refusals 0.00 to 0.01 of the samples, 72 to 84 % of the groups without variance.
Watch:    refusal_rate/forget and zero_variance_groups of the first steps.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import grpo


def get_config() -> ConfigDict:
    c: Any = grpo.get_config()
    c.stages = tuple(stage for stage in c.stages if stage != "rejection_steering")
    return c
