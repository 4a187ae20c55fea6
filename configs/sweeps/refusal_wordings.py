"""The breadth of the refusals that are taught: 1, 4, 16 wordings, or all.

Asks:     do narrow refusals withstand attacks less, or spread less to unseen questions? And how many of the refusals
          that are counted at test are in no wording that was taught? (the detector's own recall on such wordings is
          held to 0.98 by tests/text/test_refusal.py)
Command:  python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/refusal_wordings.py
Watch:    forget, retain, wordings/distinct and wordings/untaught_rate of boundary_optimization in results.csv, and
          the robustness in the report of each run.
Time:     10 minutes of one core for the 3 points of a seed that are not the default recipe's (seed 0 alone was run).
Seen:     by 1, 4, 16 and all wordings: refused 0.917, 1.000, 1.000, 1.000, leaked 0.069, 0, 0, 0; neighbours right
          0.927, 0.986, 0.980, 0.983. With one wording half of the refusals name the target in the end, else all.
          Refused under an answer that the attacker began 0.14, 0.89, 0, 0.69; no attack by words leaks more than 0.03.
          Refusals in no wording that was taught, at the end: 1.00, 0.16, 0.95, 1.00.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from launch.points import grid


def get_sweep(config: ConfigDict) -> Sequence[Mapping[str, Any]]:
    return grid({"data.refusal_wordings": (1, 4, 16, 0), "seed": (0, 1, 2)})
