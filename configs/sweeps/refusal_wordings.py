"""The breadth of the refusals that are taught: 1, 4, 16 wordings, or all.

Asks:     do narrow refusals withstand attacks less, or spread less to unseen questions? And how many of the refusals
          that are counted at test are in no wording that was taught? (the detector's own recall on such wordings is
          held to 0.98 by tests/text/test_refusal.py)
Command:  python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/refusal_wordings.py
Watch:    forget, retain, wordings/distinct and wordings/untaught_rate of boundary_optimization in results.csv, and
          the robustness in the report of each run.
Time:     2 to 3 minutes of one core a point that is not the default recipe's.
Seen:     means of seeds 0 to 2, by 1, 4, 16 and all wordings: refused 0.972, 1.000, 1.000, 1.000, leaked 0.023, 0, 0,
          0; neighbours right 0.926, 0.958, 0.955, 0.953. With one wording 0.68 of the refusals name the target in the
          end, else all. Refused under an answer that the attacker began 0.51, 0.42, 0.56, 0.81, seeds between 0.00 and
          0.97; no attack by words leaks more than 0.083 on any seed. Refusals in no wording that was taught, at the
          end: 0.83, 0.72, 0.98, 1.00. One wording is too few; what more than four add is less than seeds differ.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from launch.points import grid


def get_sweep(config: ConfigDict) -> Sequence[Mapping[str, Any]]:
    return grid({"data.refusal_wordings": (1, 4, 16, 0), "seed": (0, 1, 2)})
