"""Reference answers of the boundary that are right, wrong for half or all of the questions, or missing.

Asks:     what does a set cost whose answers nobody checked? RULE learns from what the model itself says, its simple
          rival (refusals with answers of the boundary) from the answers; without any, the rival cannot be trained.
Command:  python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/boundary_answers.py
Watch:    boundary/accuracy and neighbor/accuracy of boundary_optimization and of baseline in results.csv.
Time:     1 to 3 minutes of one core a point.
Seen:     means of seeds 0 to 2. Right answers of boundary people and of neighbours, when none, half and all of the
          references are wrong: RULE 0.977, 0.966, 0.845 and 0.953, 0.952, 0.856; refusals with references 0.999,
          0.812, 0.296 and 0.948, 0.719, 0.272. So half of wrong answers cost RULE nothing: they reward nobody, while
          the right ones still do. Without any reference RULE refuses as few others (0.012 and 0.043) but is right in
          0.794 and 0.798, in 0.583 of the neighbours on seed 0 and 0.948 on seed 1: nothing holds the answers then but
          the KL. The targets are refused by RULE in all of these and leak with neither.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from launch.points import grid, product

WRONG = (0.0, 0.5, 1.0)


def get_sweep(config: ConfigDict) -> Sequence[Mapping[str, Any]]:
    methods = ("configs/grpo.py", "configs/baselines/rs_retain.py")
    points = [
        {"config": file, "label": f"{Path(file).stem},wrong={wrong}", "data.boundary_answers.wrong": wrong}
        for file in methods
        for wrong in WRONG
    ]
    missing = {"config": methods[0], "label": "grpo,missing=1.0", "data.boundary_answers.missing": 1.0}
    return product([*points, missing], grid({"seed": (0, 1, 2)}))
