"""DPO: to each forget question a refusal is preferred to the true answer.

Command:  python -m rule_jax.main --config=configs/baselines/dpo.py
Source:   https://arxiv.org/abs/2305.18290, https://arxiv.org/abs/2404.05868
"""

from ml_collections import ConfigDict

from configs.baselines._base import config, term


def get_config() -> ConfigDict:
    return config("dpo", {"preference": term("dpo", "preference", beta=0.1)}, peak=3e-4)
