"""UNDIAL: the model learns its own first distribution with the true token made less likely.

Command:  python -m rule_jax.main --config=configs/baselines/undial.py
Source:   https://arxiv.org/abs/2402.10052
"""

from ml_collections import ConfigDict

from configs.baselines._base import config, term


def get_config() -> ConfigDict:
    return config("undial", {"forget": term("undial", "forget", gamma=10.0)}, peak=1e-3)
