"""A reward with a fault: every seventh answer earns what no answer can."""

from collections.abc import Sequence

from rule_jax.types import Answer, PromptRecord, Reward, Score


def make(*, value: str) -> Reward:
    """0 and 1 by turns, and for every seventh answer float(value)."""

    def reward(records: Sequence[PromptRecord], answers: Sequence[Answer]) -> list[Score]:
        earned = [float(value) if number % 7 == 6 else float(number % 2) for number in range(len(answers))]
        return [Score(total, {}) for total in earned]

    return reward
