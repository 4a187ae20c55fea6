"""NPO: ascent that fades as an answer becomes unlikelier than it was.

Command:  python -m rule_jax.main --config=configs/baselines/npo.py
Source:   https://arxiv.org/abs/2404.05868
"""

from ml_collections import ConfigDict

from configs.baselines._base import config, term


def get_config() -> ConfigDict:
    return config("npo", {"forget": term("npo", "forget", beta=0.1)}, peak=1e-4)
