"""The reward as released (gated) or as printed (the plain sum of its parts).

Asks:     does an answer that names the target without refusing have to go unrewarded?
Command:  python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/gated.py
Watch:    forget and retain of boundary_optimization in results.csv.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from launch.points import grid


def get_sweep(config: ConfigDict) -> Sequence[Mapping[str, Any]]:
    return grid({"reward.gated": (True, False), "seed": (0, 1, 2)})
