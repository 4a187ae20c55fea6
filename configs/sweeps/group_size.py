"""Samples a prompt, G: 2, 4, 8 and 16, with as many samples a step in all.

Asks:     is it better to try one prompt often, or more prompts?
Command:  python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/group_size.py
Watch:    forget and retain of boundary_optimization in results.csv.
Time:     2 to 4 minutes of one core a point that is not the default recipe's.
Seen:     means of seeds 0 to 2: no difference at this size. Refused 1.000 and leaked 0.000 with each; neighbours right
          0.950, 0.955, 0.953 and 0.952 for 2, 4, 8 and 16 samples.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from launch.points import grid, product


def get_sweep(config: Any) -> Sequence[Mapping[str, Any]]:
    rebo = config.boundary_optimization
    points = []
    for samples in (2, 4, 8, 16):
        prompts = {
            f"boundary_optimization.{part}": rebo[part] * rebo.samples // samples
            for part in ("forget_prompts", "boundary_prompts")
        }
        points.append({"label": f"samples_{samples:02}", "boundary_optimization.samples": samples, **prompts})
    return product(points, grid({"seed": (0, 1, 2)}))
