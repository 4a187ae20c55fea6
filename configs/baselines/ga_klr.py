"""Gradient ascent on what is to be forgotten, divergence from the start on the boundary (KLR).

Command:  python -m rule_jax.main --config=configs/baselines/ga_klr.py
Source:   https://arxiv.org/abs/2407.06460
"""

from ml_collections import ConfigDict

from configs.baselines._base import KLR, config, term


def get_config() -> ConfigDict:
    return config("ga_klr", {"forget": term("ga", "forget"), "retain": KLR}, peak=3e-4)
