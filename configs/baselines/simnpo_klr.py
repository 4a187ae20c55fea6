"""SimNPO on what is to be forgotten, divergence from the start on the boundary (KLR).

Command:  python -m rule_jax.main --config=configs/baselines/simnpo_klr.py
Source:   https://arxiv.org/abs/2410.07163, https://arxiv.org/abs/2407.06460
"""

from ml_collections import ConfigDict

from configs.baselines._base import KLR, config, term


def get_config() -> ConfigDict:
    return config("simnpo_klr", {"forget": term("simnpo", "forget", beta=2.5, gamma=0.0), "retain": KLR}, peak=3e-4)
