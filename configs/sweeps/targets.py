"""Several targets at once: 1, 3, 6, 12 and 24 people, with as many boundary records in all.

Asks:     how many can one run make a model forget?
Command:  python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/targets.py
Watch:    forget and retain of boundary_optimization in results.csv.
Time:     2 to 7 minutes of one core a point with its world.
Seen:     means of seeds 0 to 2 after the same 70 updates, by 1, 3, 6, 12 and 24 people: refused 1.000, 1.000, 1.000,
          0.961, 0.894, leaked 0, 0, 0, 0.032, 0.098; neighbours right 0.984, 0.977, 0.953, 0.872, 0.700; leaked by raw
          completion 0.32, 0.30, 0.44, 0.53, 0.75. Of these, six are the most that it forgets without a leak.
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
