"""The reward as released (gated) or as printed (the plain sum of its parts).

Asks:     does an answer that names the target without refusing have to go unrewarded?
Command:  python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/gated.py
Watch:    forget and retain of boundary_optimization in results.csv.
Time:     2 minutes of one core a point that is not the default recipe's.
Seen:     means of seeds 0 to 2: gated, every target's question is refused; as printed 0.926 of them, and the other
          answers are the bare name of the target, which earns half. Nothing leaks either way; raw completion leaks 0.44
          and 0.37; neighbours are right in 0.953 and 0.952.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from launch.points import grid


def get_sweep(config: ConfigDict) -> Sequence[Mapping[str, Any]]:
    return grid({"reward.gated": (True, False), "seed": (0, 1, 2)})
