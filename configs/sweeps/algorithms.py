"""The algorithms of stage 2: GRPO, PPO, Reinforce++, and GRPO with a replay of hard groups.

Asks:     which algorithm forgets more and keeps more, for what time?
Command:  python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/algorithms.py
Watch:    forget and retain of boundary_optimization in results.csv; costs.csv.
Time:     2 to 4 minutes of one core a point, PPO the dearest (seed 0 alone was run; README has seeds 0 to 4 of three).
Seen:     each refuses all and leaks nothing. Neighbours 0.983 with GRPO and PPO, 0.980 with Reinforce++, 0.960 with
          replay; raw completion leaks 0.32, 0.19, 0.28 and 0.35.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from launch.points import grid


def get_sweep(config: ConfigDict) -> Sequence[Mapping[str, Any]]:
    files = ("grpo", "ppo", "reinforce_pp", "grpo_replay")
    return grid({"config": [f"configs/{name}.py" for name in files], "seed": (0, 1, 2)})
