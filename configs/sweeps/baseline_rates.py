"""The learning rate of each baseline, on all of the default world's data and a seed that no table reports.

Asks:     which rate does each recipe of configs/baselines want? What forgets most for what it loses is set there.
Command:  python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/baseline_rates.py
Watch:    forget and retain of baseline in results.csv: the highest harmonic mean of 1 - forget and retain.
Time:     45 minutes of one core for the 48 points.
Seen:     best at 1e-4: GA, NPO and SimNPO alone; at 3e-4: GA and SimNPO with a retain term, DPO, rejection tuning; at
          1e-3: NPO with a retain term, refusals + GDR, RMU, WGA, UNDIAL, task vectors. SimNPO with a retain term leaks
          nothing at 3e-4 and keeps 0.994, the most of all, with falsehoods for refusals.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from launch.points import called, grid

TRAINED = (
    *("ga", "ga_gdr", "ga_klr", "npo", "npo_gdr", "npo_klr", "simnpo", "simnpo_gdr", "simnpo_klr"),
    *("dpo", "rt", "rs_retain", "rmu", "wga", "undial", "task_vector"),
)
STAGES = ("prepare_data", "baseline", "evaluate")


def get_sweep(config: ConfigDict) -> Sequence[Mapping[str, Any]]:
    own = {"stages": STAGES, "seed": 100}
    return [
        {"config": f"configs/baselines/{name}.py", "label": called(name, rate), **own, **rate}
        for name in TRAINED
        for rate in grid({"baseline.schedule.peak": (1e-4, 3e-4, 1e-3)})
    ]
