"""Weighted gradient ascent, with descent on the true answers of the boundary (GDR).

Command:  python -m rule_jax.main --config=configs/baselines/wga.py
Source:   https://arxiv.org/abs/2502.19301
"""

from ml_collections import ConfigDict

from configs.baselines._base import GDR, config, term


def get_config() -> ConfigDict:
    return config("wga", {"forget": term("wga", "forget", alpha=1.0), "retain": GDR}, peak=1e-3)
