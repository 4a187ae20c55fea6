"""RULE with GRPO on the default world by an adapter (LoRA, rank 16) instead of all parameters; the rest is
configs/grpo.py.

Command:   python -m rule_jax.main --config=configs/grpo_lora.py
Hardware:  two cores and 1.6 GB; three minutes with a world that is there already, on a machine shared with other work.
Result:    seeds 100 and 101: forget refusal 1.00 and 1.00 (sampled: 0.99, 0.97), leak 0.00; accuracy on the boundary
           1.00 and 0.99, on neighbours never trained on 0.99 and 0.98, on general facts 0.97 and 0.99.
Departs:   an adapter learns with larger steps than all parameters, and for longer.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import grpo


def get_config() -> ConfigDict:
    c: Any = grpo.get_config()
    c.lora.rank = 16
    c.rejection_steering.schedule.peak = 4e-4
    rebo = c.boundary_optimization
    rebo.steps, rebo.schedule.peak = 100, 1.4e-3
    return c
