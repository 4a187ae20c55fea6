"""GRPO with replay of hard groups (ReRULE, arXiv 2606.15333) on the default world; the rest is configs/grpo.py.

From step 21 on, 4 of the 64 hardest groups of the first 20 steps join the 32 fresh ones of each step.

Command:   python -m rule_jax.main --config=configs/grpo_replay.py
Hardware:  as configs/grpo.py.
Seen:      tried on small worlds only; what replay gives on this one is not measured yet.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import grpo


def get_config() -> ConfigDict:
    c: Any = grpo.get_config()
    c.boundary_optimization.replay.groups = 4
    return c
