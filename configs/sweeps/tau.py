"""The ROUGE-L recall from which on a boundary answer counts as right.

Asks:     how near must an answer be to the reference to be rewarded?
Command:  python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/tau.py
Watch:    boundary/accuracy and neighbor/accuracy.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from launch.points import grid


def get_sweep(config: ConfigDict) -> Sequence[Mapping[str, Any]]:
    return grid({"reward.tau": (0.1, 0.3, 0.5, 0.7, 0.9), "seed": (0, 1, 2)})
