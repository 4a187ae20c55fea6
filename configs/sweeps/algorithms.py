"""The algorithms of stage 2: GRPO, PPO, Reinforce++, and GRPO with a replay of hard groups.

Asks:     which algorithm forgets more and keeps more, for what time?
Command:  python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/algorithms.py
Watch:    forget and retain of boundary_optimization in results.csv; costs.csv.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from launch.points import grid


def get_sweep(config: ConfigDict) -> Sequence[Mapping[str, Any]]:
    files = ("grpo", "ppo", "reinforce_pp", "grpo_replay")
    return grid({"config": [f"configs/{name}.py" for name in files], "seed": (0, 1, 2)})
