"""What is forgotten: people, concepts, procedures, or a relation of everybody.

Asks:     does the boundary hold where the target is no person? (a relation's runs through every person's facts)
Command:  python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/domains.py
Watch:    forget and retain of boundary_optimization in results.csv; for the relation also forget_unseen/leak_rate:
          does the refusal spread to people whom no training record names?
Seen:     seed 100 alone, refused and leaked of the held-out questions, right of neighbours, leaked by raw completion:
          concept 0.99, 0.01, 0.98 and 0.28; procedure 1.00, 0.00, 0.98 and 0.31; relation ("the instrument") 1.00,
          0.00, 1.00 and 0.02, and of people never trained on 1.00 refused and 0.00 leaked.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from launch.points import grid


def get_sweep(config: ConfigDict) -> Sequence[Mapping[str, Any]]:
    return grid({"data.world.domain": ("person", "concept", "procedure", "relation"), "seed": (0, 1, 2)})
