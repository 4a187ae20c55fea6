"""SimNPO: NPO without a reference, answers' likelihoods divided by their lengths.

Command:  python -m rule_jax.main --config=configs/baselines/simnpo.py
Source:   https://arxiv.org/abs/2410.07163
"""

from ml_collections import ConfigDict

from configs.baselines._base import config, term


def get_config() -> ConfigDict:
    return config("simnpo", {"forget": term("simnpo", "forget", beta=2.5, gamma=0.0)}, peak=1e-4)
