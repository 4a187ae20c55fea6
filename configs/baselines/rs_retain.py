"""Likelihood of refusals to the forget questions and of the true answers of the boundary: the strongest simple rival.

Command:  python -m rule_jax.main --config=configs/baselines/rs_retain.py
Source:   https://arxiv.org/abs/2406.10890, https://arxiv.org/abs/2407.06460
"""

from ml_collections import ConfigDict

from configs.baselines._base import GDR, config, term


def get_config() -> ConfigDict:
    return config("rs_retain", {"refusal": term("sft", "refusal"), "retain": GDR}, peak=1e-3)
