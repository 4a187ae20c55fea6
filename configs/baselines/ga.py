"""Gradient ascent on the true answers to the forget questions.

Command:  python -m rule_jax.main --config=configs/baselines/ga.py
Source:   https://arxiv.org/abs/2210.01504
"""

from ml_collections import ConfigDict

from configs.baselines._base import config, term


def get_config() -> ConfigDict:
    return config("ga", {"forget": term("ga", "forget")}, peak=1e-4)
