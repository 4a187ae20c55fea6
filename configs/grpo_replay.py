"""GRPO with replay of hard groups (ReRULE, arXiv 2606.15333) on the default world."""

from typing import Any

from ml_collections import ConfigDict

from configs import grpo


def get_config() -> ConfigDict:
    c: Any = grpo.get_config()
    c.boundary_optimization.replay.groups = 4
    return c
