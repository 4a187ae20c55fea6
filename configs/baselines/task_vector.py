"""Task vector: the model learns the forget answers by heart, and as far as it went it is moved the other way.

Command:  python -m rule_jax.main --config=configs/baselines/task_vector.py
Source:   https://arxiv.org/abs/2212.04089
"""

from typing import Any

from ml_collections import ConfigDict

from configs.baselines._base import config, term


def get_config() -> ConfigDict:
    c: Any = config("task_vector", {"learned": term("sft", "forget")}, peak=1e-3)
    c.baseline.negation = 1.0
    return c
