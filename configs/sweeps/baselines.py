"""Every baseline as its recipe stands, beside RULE.

Asks:     what does each way to unlearn do to the same model with all of the data? Rates are those of baseline_rates.py;
          pareto.py asks it of few data.
Command:  python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/baselines.py
Watch:    forget and retain of baseline in results.csv; the page has the plane.
Time:     about a minute of one core a point that is not RULE's.
Seen:     README's table, of seeds 0 to 2.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from launch.points import grid

METHODS = (
    "ga",
    "ga_gdr",
    "ga_klr",
    "npo",
    "npo_gdr",
    "npo_klr",
    "simnpo",
    "simnpo_gdr",
    "simnpo_klr",
    "dpo",
    "rt",
    "rs_retain",
    "rmu",
    "wga",
    "undial",
    "task_vector",
    "in_context",
    "prompt_filter",
)


def get_sweep(config: ConfigDict) -> Sequence[Mapping[str, Any]]:
    files = ["configs/grpo.py", *sorted(f"configs/baselines/{name}.py" for name in METHODS)]
    return grid({"config": files, "seed": (0, 1, 2)})
