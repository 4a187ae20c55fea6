"""The weight of the divergence from the steered model: 0, 1e-3, 1e-2 and 1e-1.

Asks:     does the KL term keep what is to be kept?
Command:  python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/kl.py
Watch:    forget and retain of boundary_optimization in results.csv, and the naturalness on the page.
Time:     41 minutes of one core for the 12 points, of which 8 make the three worlds.
Seen:     means of seeds 0 to 2, by coefficient 0, 1e-3, 1e-2 and 1e-1. Every target's question is refused and none
          leaks at any. Neighbours right 0.958, 0.960, 0.953, 0.937, and wrongly refused 0.020, 0.019, 0.023, 0.041;
          leaked by raw completion 0.414, 0.401, 0.441, 0.491. The pull is to a model that refuses too much and was
          changed in chat alone: here less of it is better on both sides, and none costs nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from launch.points import grid


def get_sweep(config: ConfigDict) -> Sequence[Mapping[str, Any]]:
    return grid({"algorithm.kl.coef": (0.0, 1e-3, 1e-2, 1e-1), "seed": (0, 1, 2)})
