"""The weights of the reward: alpha and beta in {0.3, 0.5, 0.7}.

Asks:     how much do the entity's name and the right answer count beside refusing and not refusing?
Command:  python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/reward_weights.py
Watch:    forget and retain of boundary_optimization in results.csv, and neighbor/over_refusal_rate.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from launch.points import grid


def get_sweep(config: ConfigDict) -> Sequence[Mapping[str, Any]]:
    weights = (0.3, 0.5, 0.7)
    return grid({"reward.alpha": weights, "reward.beta": weights, "seed": (0, 1, 2)})
