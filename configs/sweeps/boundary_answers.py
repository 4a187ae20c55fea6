"""Reference answers of the boundary that are right, wrong for half or all of the questions, or missing.

Asks:     what does a set cost whose answers nobody checked? RULE learns from what the model itself says, its simple
          rival (refusals with answers of the boundary) from the answers; without any, the rival cannot be trained.
Command:  python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/boundary_answers.py
Watch:    boundary/accuracy and neighbor/accuracy of boundary_optimization and of baseline in results.csv.
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
