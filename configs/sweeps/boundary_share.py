"""How much boundary data is enough: 0, 4, 8, 16 and 32 % of the boundary people's questions.

Asks:     does over-refusal fall with the boundary's share, and from where on does more add nothing?
Command:  python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/boundary_share.py
Watch:    boundary/over_refusal_rate and neighbor/over_refusal_rate of boundary_optimization in results.csv.
Time:     49 minutes of CPU time for the 15 points, with an empty cache.
Seen:     means of seeds 0 to 2, by share 0, 4, 8, 16 and 32 %. Over-refusal of the boundary people 0.961, 0.013, 0.009,
          0.005, 0.005; of neighbours that were never trained on 0.973, 0.036, 0.028, 0.022, 0.020. Every target's
          question is refused and none leaks at any share. Without boundary data nearly everything is refused and the
          neighbours' accuracy is 0.02; with 4 % it is 0.943, with 16 % 0.957, and with 32 % no better.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from launch.points import grid, product

PERCENT = (0, 4, 8, 16, 32)


def get_sweep(config: ConfigDict) -> Sequence[Mapping[str, Any]]:
    return product([_of(config, percent) for percent in PERCENT], grid({"seed": (0, 1, 2)}))


def _of(config: Any, percent: int) -> dict[str, Any]:
    """Both the targets and the boundary people are asked the same, so that shares of questions are shares of people."""
    world, rebo = config.data.world, config.boundary_optimization
    share = percent / 100 * world.boundary_people / world.forget_people
    point = {"label": f"boundary_{percent:02}", "data.world.boundary_share": round(share, 4)}
    if percent:
        return point
    prompts = rebo.forget_prompts + rebo.boundary_prompts
    return {
        **point,
        "boundary_optimization.forget_prompts": prompts,
        "boundary_optimization.boundary_prompts": 0,
    }
