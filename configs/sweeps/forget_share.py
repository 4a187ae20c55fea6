"""How many of the forget questions are needed: 3, 6, 12, 25 and 100 % of each target's.

Asks:     does the refusal of a target spread to the questions about it that were not trained on?
Command:  python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/forget_share.py
          MUSE's scaling by the size of the forget set is the same sweep with --config.data.source=muse
          --config.data.path=DIR --config.model.path=DIR.
Watch:    forget and retain of boundary_optimization in results.csv.
Time:     2 to 5 minutes of one core a point that is not the default recipe's.
Seen:     means of seeds 0 to 2, by 12, 18, 36, 84 and 324 forget queries: refused 0.26, 0.32, 0.84, 1.00, 1.00 of the
          held-out phrasings, leaked 0.69, 0.60, 0.13, 0, 0; neighbours right 0.977, 0.971, 0.952, 0.953, 0.953. With 12
          or 18 queries, two or three a target, ReBO ends where Rejection Steering did (0.26, 0.34), on seed 0 with 0.03
          refused. With MUSE-Books, a small Llama that knows it (tests/make_known_model.py) and 30 updates: the table in
          README, 15 points in 39 minutes of CPU time.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from launch.points import grid


def get_sweep(config: ConfigDict) -> Sequence[Mapping[str, Any]]:
    return grid({"data.forget_share": (0.03, 0.06, 0.12, 0.25, 1.0), "seed": (0, 1, 2)})
