"""What is forgotten: people, concepts, procedures, or a relation of everybody.

Asks:     does the boundary hold where the target is no person? (a relation's runs through every person's facts)
Command:  python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/domains.py
Watch:    forget and retain of boundary_optimization in results.csv; for the relation also forget_unseen/leak_rate:
          does the refusal spread to people whom no training record names?
Time:     5 minutes of one core a point with its world (seed 0 alone was run).
Seen:     every held-out question is refused and none leaks, whatever is forgotten. Neighbours right of person, concept,
          procedure and relation 0.983, 0.983, 0.994, 0.998; leaked by raw completion 0.32, 0.50, 0.15, 0.15. Of people
          never trained on the relation is refused in 1.00 and leaked in 0.00.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from launch.points import grid


def get_sweep(config: ConfigDict) -> Sequence[Mapping[str, Any]]:
    return grid({"data.world.domain": ("person", "concept", "procedure", "relation"), "seed": (0, 1, 2)})
