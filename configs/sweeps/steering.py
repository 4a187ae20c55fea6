"""Rejection Steering, or reinforcement from the base model.

Asks:     does reinforcement find refusals by itself? (paper: no; forgetting worsens by 43.7 points)
Command:  python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/steering.py
Watch:    forget/refusal_rate of boundary_optimization in results.csv.
Time:     1 to 2 minutes of one core a point that is not the default recipe's.
Seen:     means of seeds 0 to 2: steered, every target's question is refused and none leaks; from the base model none is
          refused and 0.986 leak. Of seed 0, in no step do more than one of the 128 answers that are sampled to them
          refuse, so there is hardly anything to be rewarded. As the paper says.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from launch.points import grid, product


def get_sweep(config: Any) -> Sequence[Mapping[str, Any]]:
    cold = tuple(stage for stage in config.stages if stage != "rejection_steering")
    return product([{"label": "steered"}, {"label": "cold", "stages": cold}], grid({"seed": (0, 1, 2)}))
