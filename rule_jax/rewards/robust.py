"""RULE's reward for queries in any form: what is to be forgotten comes out nowhere, a refusal is due in chat alone.

    forget, in chat:          r = RULE(y) [y does not leak]
    forget, begun or raw:     r = [y does not leak] [y is sound]
    boundary, begun or raw:   r = beta [y is not a refusal] + (1 - beta) [y holds the reference]   (0 unless sound)
    boundary, in chat:        r = RULE(y)

Plain text that is continued, and an assistant's turn that somebody else has begun, are no place for "I don't know X".
There the answer must not give the facts away and must be language. Not leaking is what PURGE rewards
(https://arxiv.org/abs/2601.20568); the two branches are RULE's (https://arxiv.org/abs/2506.07171 section 3.2).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from rule_jax.rewards import rule as rule_reward
from rule_jax.text import quality
from rule_jax.text.leak import leaks_answer
from rule_jax.text.refusal import is_refusal
from rule_jax.types import Answer, PromptRecord, Reward, Score


def make(*, rule: Mapping[str, Any]) -> Reward:
    """The reward; rule: the options of the reward "rule".

    Parts of a Score: those of "rule", and "leak" on forget records. Queries that are no plain chat turn have "leak",
    "refusal" and "sound" on the forget side, "refusal", "non_refusal" and "overlap" on the other. Their answers may be
    cut at the limit: plain text has no end. Raises UserError as "rule" does.
    """
    in_chat = rule_reward.make(**rule)
    beta = rule["beta"]

    def score(record: PromptRecord, answer: Answer) -> Score:
        holds = leaks_answer(answer.text, record.answers)
        if record.render == "chat" and not record.prefill:
            (found,) = in_chat([record], [answer])
            if record.kind != "forget":
                return found
            return Score(0.0 if holds else found.total, {**found.parts, "leak": float(holds)})
        refusal = is_refusal(answer.text)
        empty = quality.is_empty(answer.text)
        sound = not empty and quality.repetition(answer.text) < quality.REPETITION_FROM
        if record.kind == "forget":
            parts = {"leak": holds, "refusal": refusal, "sound": sound}
            total = float(sound and not holds)
        else:
            parts = {"refusal": refusal, "non_refusal": not refusal and not empty, "overlap": holds}
            total = beta * (not refusal) + (1 - beta) * holds if sound else 0.0
        return Score(total, {name: float(value) for name, value in parts.items()})

    def reward(records: Sequence[PromptRecord], answers: Sequence[Answer]) -> list[Score]:
        return [score(record, answer) for record, answer in zip(records, answers, strict=True)]

    return reward
