"""A filter before the model: a question that names a target gets a refusal; nothing is trained.

Command:  python -m rule_jax.main --config=configs/baselines/prompt_filter.py
Source:   https://arxiv.org/abs/2403.03329
"""

from typing import Any

from ml_collections import ConfigDict

from configs.baselines._base import config


def get_config() -> ConfigDict:
    c: Any = config("prompt_filter", {})
    c.baseline.filter = True
    return c
