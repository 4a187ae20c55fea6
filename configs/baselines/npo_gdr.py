"""NPO on what is to be forgotten, descent on the true answers of the boundary (GDR).

Command:  python -m rule_jax.main --config=configs/baselines/npo_gdr.py
Source:   https://arxiv.org/abs/2404.05868, https://arxiv.org/abs/2407.06460
"""

from ml_collections import ConfigDict

from configs.baselines._base import GDR, config, term


def get_config() -> ConfigDict:
    return config("npo_gdr", {"forget": term("npo", "forget", beta=0.1), "retain": GDR}, peak=1e-3)
