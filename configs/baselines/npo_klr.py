"""NPO on what is to be forgotten, divergence from the start on the boundary (KLR).

Command:  python -m rule_jax.main --config=configs/baselines/npo_klr.py
Source:   https://arxiv.org/abs/2404.05868, https://arxiv.org/abs/2407.06460
"""

from ml_collections import ConfigDict

from configs.baselines._base import KLR, config, term


def get_config() -> ConfigDict:
    return config("npo_klr", {"forget": term("npo", "forget", beta=0.1), "retain": KLR}, peak=1e-3)
