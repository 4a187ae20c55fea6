"""RMU: the states behind a layer are driven to noise, those of the boundary held.

Command:  python -m rule_jax.main --config=configs/baselines/rmu.py
Source:   https://arxiv.org/abs/2403.03218
"""

from ml_collections import ConfigDict

from configs.baselines._base import config, term


def get_config() -> ConfigDict:
    return config(
        "rmu",
        {
            "forget": term("rmu", "forget", layer=2, towards="noise", scale=20.0, seed=0),
            "retain": term("rmu", "retain", layer=2, towards="reference", scale=0.0, seed=0),
        },
        peak=1e-3,
    )
