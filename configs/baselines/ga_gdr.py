"""Gradient ascent on what is to be forgotten, descent on the true answers of the boundary (GDR).

Command:  python -m rule_jax.main --config=configs/baselines/ga_gdr.py
Source:   https://arxiv.org/abs/2407.06460
"""

from ml_collections import ConfigDict

from configs.baselines._base import GDR, config, term


def get_config() -> ConfigDict:
    return config("ga_gdr", {"forget": term("ga", "forget"), "retain": GDR}, peak=3e-4)
