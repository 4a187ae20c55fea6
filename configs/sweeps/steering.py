"""Rejection Steering, or reinforcement from the base model.

Asks:     does reinforcement find refusals by itself? (paper: no; forgetting worsens by 43.7 points)
Command:  python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/steering.py
Watch:    forget/refusal_rate of boundary_optimization in results.csv.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from launch.points import grid, product


def get_sweep(config: Any) -> Sequence[Mapping[str, Any]]:
    cold = tuple(stage for stage in config.stages if stage != "rejection_steering")
    return product([{"label": "steered"}, {"label": "cold", "stages": cold}], grid({"seed": (0, 1, 2)}))
