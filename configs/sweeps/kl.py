"""The weight of the divergence from the steered model: 0, 1e-3, 1e-2 and 1e-1.

Asks:     does the KL term keep what is to be kept?
Command:  python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/kl.py
Watch:    forget and retain of boundary_optimization in results.csv, and the naturalness on the page.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from launch.points import grid


def get_sweep(config: ConfigDict) -> Sequence[Mapping[str, Any]]:
    return grid({"algorithm.kl.coef": (0.0, 1e-3, 1e-2, 1e-1), "seed": (0, 1, 2)})
