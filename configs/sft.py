"""Rejection Steering alone (stage 1 of RULE, arXiv 2506.07171 section 3.1) on the default world.

What a user sees here is why stage 2 exists: forget queries are refused, and so is much of the neighbourhood.

Command:  python -m rule_jax.main --config=configs/sft.py
"""

from typing import Any

from ml_collections import ConfigDict

from configs import grpo


def get_config() -> ConfigDict:
    c: Any = grpo.get_config()
    c.stages = ("prepare_data", "rejection_steering", "evaluate", "export", "report")
    return c
