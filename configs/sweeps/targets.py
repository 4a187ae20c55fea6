"""Several targets at once: 1, 3, 6, 12 and 24 people, with as many boundary records a target.

Asks:     how many can one run make a model forget?
Command:  python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/targets.py
Watch:    forget and retain of boundary_optimization in results.csv.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from launch.points import grid


def get_sweep(config: ConfigDict) -> Sequence[Mapping[str, Any]]:
    return grid({"data.world.forget_people": (1, 3, 6, 12, 24), "seed": (0, 1, 2)})
