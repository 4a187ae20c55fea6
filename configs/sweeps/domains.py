"""What is forgotten: people, concepts, procedures, or a relation of everybody.

Asks:     does the boundary hold where the target is no person? (a relation's runs through every person's facts)
Command:  python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/domains.py
Watch:    forget and retain of boundary_optimization in results.csv; for the relation also forget_unseen/leak_rate:
          does the refusal spread to people whom no training record names?
Time:     2 to 5 minutes of one core a point with its world.
Seen:     means of seeds 0 to 2: every held-out question is refused; of the relation 0.002 leak, else none. Neighbours
          right of person, concept, procedure and relation 0.953, 0.978, 0.976, 0.986; leaked by raw completion 0.44,
          0.35, 0.41, 0.52, of the relation between 0.15 and 0.99. Of people never trained on the relation is refused
          in 1.00 and leaked in 0.00 on each seed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from launch.points import grid


def get_sweep(config: ConfigDict) -> Sequence[Mapping[str, Any]]:
    return grid({"data.world.domain": ("person", "concept", "procedure", "relation"), "seed": (0, 1, 2)})
