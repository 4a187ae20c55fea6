"""The algorithms of stage 2: GRPO, PPO, Reinforce++, and GRPO with a replay of hard groups.

Asks:     which algorithm forgets more and keeps more, for what time?
Command:  python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/algorithms.py
Watch:    forget and retain of boundary_optimization in results.csv; costs.csv.
Time:     2 to 4 minutes of one core a point, PPO the dearest (README has five seeds of three of them).
Seen:     means of seeds 0 to 2: each refuses all and leaks nothing. Neighbours 0.953 with GRPO, 0.955 with PPO, 0.954
          with Reinforce++, 0.935 with replay; raw completion leaks 0.44, 0.35, 0.43 and 0.48.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from launch.points import grid


def get_sweep(config: ConfigDict) -> Sequence[Mapping[str, Any]]:
    files = ("grpo", "ppo", "reinforce_pp", "grpo_replay")
    return grid({"config": [f"configs/{name}.py" for name in files], "seed": (0, 1, 2)})
