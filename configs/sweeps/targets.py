"""Several targets at once: 1, 3, 6, 12 and 24 people, with as many boundary records in all.

Asks:     how many can one run make a model forget?
Command:  python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/targets.py
Watch:    forget and retain of boundary_optimization in results.csv.
Time:     3 to 7 minutes of one core a point (seed 0 alone was run; the first one makes the world).
Seen:     after the same 70 updates, by 1, 3, 6, 12 and 24 people: refused 1.000, 1.000, 1.000, 0.993, 0.903, leaked 0,
          0, 0, 0.007, 0.094; neighbours right 0.994, 0.996, 0.983, 0.913, 0.755; leaked by raw completion 0.00, 0.07,
          0.32, 0.49, 0.74. Six are the most that this recipe forgets well; few are forgotten in plain text too.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from launch.points import grid, product

SEEDS = grid({"seed": (0, 1, 2)})


def get_sweep(config: Any) -> Sequence[Mapping[str, Any]]:
    world = config.data.world
    records = world.boundary_share * world.forget_people
    people = (1, 3, 6, 12, 24)
    points = [{"data.world.forget_people": number, "data.world.boundary_share": records / number} for number in people]
    return product([{"label": f"targets_{p['data.world.forget_people']:02}"} | p for p in points], SEEDS)
