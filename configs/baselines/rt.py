"""Rejection tuning: likelihood of refusals to the forget questions, and nothing else.

Command:  python -m rule_jax.main --config=configs/baselines/rt.py
Source:   https://arxiv.org/abs/2406.10890
"""

from ml_collections import ConfigDict

from configs.baselines._base import config, term


def get_config() -> ConfigDict:
    return config("rt", {"refusal": term("sft", "refusal")}, peak=3e-4)
