"""The reward as released (gated) or as printed (the plain sum of its parts).

Asks:     does an answer that names the target without refusing have to go unrewarded?
Command:  python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/gated.py
Watch:    forget and retain of boundary_optimization in results.csv.
Time:     2 minutes of one core a point that is not the default recipe's (seed 0 alone was run).
Seen:     gated, every target's question is refused; as printed 0.944 of them, and the other answers are the bare name
          of the target, which earns half. Nothing leaks either way; raw completion leaks 0.32 and 0.26; neighbours are
          right in 0.983 and 0.975.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from launch.points import grid


def get_sweep(config: ConfigDict) -> Sequence[Mapping[str, Any]]:
    return grid({"reward.gated": (True, False), "seed": (0, 1, 2)})
