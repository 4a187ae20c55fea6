"""The weights of the reward: alpha and beta in {0.3, 0.5, 0.7}.

Asks:     how much do the entity's name and the right answer count beside refusing and not refusing?
Command:  python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/reward_weights.py
Watch:    forget and retain of boundary_optimization in results.csv, and neighbor/over_refusal_rate.
Time:     2 minutes of one core a point.
Seen:     means of seeds 0 to 2: no difference to speak of. At each of the nine every target's question is refused by
          its name and none leaks; boundary people are refused wrongly in 0.007 to 0.010, neighbours in 0.021 to 0.024,
          and right in 0.952 to 0.956.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from launch.points import grid


def get_sweep(config: ConfigDict) -> Sequence[Mapping[str, Any]]:
    weights = (0.3, 0.5, 0.7)
    return grid({"reward.alpha": weights, "reward.beta": weights, "seed": (0, 1, 2)})
