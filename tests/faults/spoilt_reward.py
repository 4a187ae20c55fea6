"""configs/grpo.py with the reward of rewards/spoilt.py."""

from typing import Any

from configs import grpo


def get_config() -> Any:
    c: Any = grpo.get_config()
    c.reward = {"name": "spoilt", "value": "0.0"}
    return c
