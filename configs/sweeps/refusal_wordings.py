"""The breadth of the refusals that are taught: 1, 4, 16 wordings, or all.

Asks:     do narrow refusals withstand attacks less, or spread less to unseen questions? And how many of the refusals
          that are counted at test are in no wording that was taught? (the detector's own recall on such wordings is
          held to 0.98 by tests/text/test_refusal.py)
Command:  python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/refusal_wordings.py
Watch:    forget, retain, wordings/distinct and wordings/untaught_rate of boundary_optimization in results.csv, and
          the robustness in the report of each run.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from launch.points import grid


def get_sweep(config: ConfigDict) -> Sequence[Mapping[str, Any]]:
    return grid({"data.refusal_wordings": (1, 4, 16, 0), "seed": (0, 1, 2)})
