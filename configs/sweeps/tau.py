"""The ROUGE-L recall from which on a boundary answer counts as right.

Asks:     how near must an answer be to the reference to be rewarded?
Command:  python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/tau.py
Watch:    boundary/accuracy and neighbor/accuracy.
Time:     2 to 3 minutes of one core a point.
Seen:     0.1 and 0.3 train the same model on each of seeds 0 to 2, and so do 0.5, 0.7 and 0.9: the answers are of one
          or two words, of which an answer has none, half or all. Means: neighbours right 0.953 below 0.5 and 0.954 from
          there on; refused 1.000, leaked 0.000 with each.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from launch.points import grid


def get_sweep(config: ConfigDict) -> Sequence[Mapping[str, Any]]:
    return grid({"reward.tau": (0.1, 0.3, 0.5, 0.7, 0.9), "seed": (0, 1, 2)})
