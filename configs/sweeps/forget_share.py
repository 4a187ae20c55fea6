"""How many of the forget questions are needed: 3, 6, 12, 25 and 100 % of each target's.

Asks:     does the refusal of a target spread to the questions about it that were not trained on?
Command:  python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/forget_share.py
          MUSE's scaling by the size of the forget set is the same sweep with --config.data.source=muse
          --config.data.path=DIR --config.model.path=DIR.
Watch:    forget and retain of boundary_optimization in results.csv.
Seen:     with MUSE-Books, a small Llama that knows it (tests/make_known_model.py) and 30 updates: the table in README,
          15 points in 39 minutes of CPU time. Not yet run to its end on the default world.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from launch.points import grid


def get_sweep(config: ConfigDict) -> Sequence[Mapping[str, Any]]:
    return grid({"data.forget_share": (0.03, 0.06, 0.12, 0.25, 1.0), "seed": (0, 1, 2)})
