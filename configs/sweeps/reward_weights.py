"""The weights of the reward: alpha and beta in {0.3, 0.5, 0.7}.

Asks:     how much do the entity's name and the right answer count beside refusing and not refusing?
Command:  python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/reward_weights.py
Watch:    forget and retain of boundary_optimization in results.csv, and neighbor/over_refusal_rate.
Time:     2 to 3 minutes of one core a point (seed 0 alone was run).
Seen:     no difference to speak of: at each of the nine every target's question is refused by its name and none leaks;
          boundary people are refused wrongly in at most 0.003, neighbours in 0.006 to 0.009, and right in 0.983 to
          0.986.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from launch.points import grid


def get_sweep(config: ConfigDict) -> Sequence[Mapping[str, Any]]:
    weights = (0.3, 0.5, 0.7)
    return grid({"reward.alpha": weights, "reward.beta": weights, "seed": (0, 1, 2)})
