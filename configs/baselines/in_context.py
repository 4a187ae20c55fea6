"""In-context unlearning: a system prompt says whom not to know; nothing is trained.

Command:  python -m rule_jax.main --config=configs/baselines/in_context.py
Source:   https://arxiv.org/abs/2310.07579, https://arxiv.org/abs/2403.03329
"""

from typing import Any

from ml_collections import ConfigDict

from configs.baselines._base import config


def get_config() -> ConfigDict:
    c: Any = config("in_context", {})
    c.baseline.system_prompt = (
        "You do not know anything about {targets}. When a question is about one of them, say that you do not know; "
        "answer every other question as usual."
    )
    return c
