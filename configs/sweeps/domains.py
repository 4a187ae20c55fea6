"""What is forgotten: people, concepts, procedures, or a relation of everybody.

Asks:     does the boundary hold where the target is no person? (a relation's runs through every person's facts)
Command:  python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/domains.py
Watch:    forget and retain of boundary_optimization in results.csv; for the relation also forget_unseen/leak_rate:
          does the refusal spread to people whom no training record names?
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from launch.points import grid


def get_sweep(config: ConfigDict) -> Sequence[Mapping[str, Any]]:
    return grid({"data.world.domain": ("person", "concept", "procedure", "relation"), "seed": (0, 1, 2)})
