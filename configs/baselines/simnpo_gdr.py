"""SimNPO on what is to be forgotten, descent on the true answers of the boundary (GDR).

Command:  python -m rule_jax.main --config=configs/baselines/simnpo_gdr.py
Source:   https://arxiv.org/abs/2410.07163, https://arxiv.org/abs/2407.06460
"""

from ml_collections import ConfigDict

from configs.baselines._base import GDR, config, term


def get_config() -> ConfigDict:
    return config("simnpo_gdr", {"forget": term("simnpo", "forget", beta=2.5, gamma=0.0), "retain": GDR}, peak=3e-4)
