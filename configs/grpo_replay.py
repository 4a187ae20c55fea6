"""GRPO with replay of hard groups (ReRULE, arXiv 2606.15333) on the default world; the rest is configs/grpo.py.

From step 21 on, 4 of the 64 hardest groups of the first 20 steps join the 32 fresh ones of each step.

Command:   python -m rule_jax.main --config=configs/grpo_replay.py
Hardware:  as configs/grpo.py.
Seen:      seeds 0 to 3, mean (worst): forget refusal 1.00 (1.00), leak 0.00 (0.00); of base,
           boundary 0.98 (0.98), neighbours 0.95 (0.93), general 1.00 (0.98).
           No better than configs/grpo.py on the same runs, whose neighbours kept 0.97 (0.96).
           Measured before stage 1 took smaller steps and the base read more general facts.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import grpo


def get_config() -> ConfigDict:
    c: Any = grpo.get_config()
    c.boundary_optimization.replay.groups = 4
    return c
