"""No boundary data: all prompts of stage 2 are forget queries.

Asks:     what keeps the model from refusing everything? (paper: without the boundary, retain falls to 23.6)
Command:  python -m rule_jax.main --config=configs/ablations/no_boundary.py
Seen:     seed 0: forget refusal 1.00; accuracy on boundary people 0.19, neighbours 0.14, general facts 0.72.
Watch:    the over-refusal of boundary and neighbour entities in the report.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import grpo


def get_config() -> ConfigDict:
    c: Any = grpo.get_config()
    c.data.world.boundary_share = 0.0
    rebo = c.boundary_optimization
    rebo.forget_prompts, rebo.boundary_prompts = rebo.forget_prompts + rebo.boundary_prompts, 0
    return c
