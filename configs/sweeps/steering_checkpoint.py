"""After how many steps of Rejection Steering reinforcement begins; its rate is constant.

Asks:     how much steering is enough, and how much is too much? (the paper tries three checkpoints)
Command:  python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/steering_checkpoint.py
Watch:    forget and retain of boundary_optimization in results.csv, beside rejection_steering's.
Time:     9 minutes of one core for the 5 points of a seed.
Seen:     means of seeds 0 to 2. By 5, 10, 20, 40 and 80 steps: targets refused after steering 0.04, 0.07, 0.40, 0.82,
          0.93, after ReBO 0.07, 0.15, 0.75, 1.00, 1.00, when leaked are 0.94, 0.85, 0.20, 0, 0 and neighbours right
          0.980, 0.980, 0.948, 0.958, 0.953. What steering over-refuses (0.74 of the neighbours after 80 steps) ReBO
          gives back; what it does not refuse yet, ReBO hardly finds.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from launch.points import grid, product

SEEDS = grid({"seed": (0, 1, 2)})


def get_sweep(config: ConfigDict) -> Sequence[Mapping[str, Any]]:
    steps = [{"rejection_steering.steps": steps} for steps in (5, 10, 20, 40, 80)]
    fixed = {"rejection_steering.dosage.refusal_rate": 0.0, "rejection_steering.checkpoint_every": 5}
    return product([fixed | {"label": f"steps_{p['rejection_steering.steps']:02}"} | p for p in steps], SEEDS)
