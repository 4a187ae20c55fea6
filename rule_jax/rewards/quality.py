"""Is the answer sound? 1 or 0: what keeps "...", noise and endless phrases from earning a reward.

The two-branch reward pays half for whatever is no refusal, and was seen to be hacked by "..." and by gibberish. As a
gate of `weighted` this reward takes all of it away; as a term it pays its weight for soundness alone.
"""

from collections.abc import Sequence

from rule_jax.errors import UserError
from rule_jax.text import quality
from rule_jax.types import Answer, PromptRecord, Reward, Score


def make(*, gibberish: float, repetition: float, cut: bool) -> Reward:
    """The reward with its limits: shares in (0, 1] of an answer's words from which it counts as noise, or as a loop
    (see `text.quality`). cut: an answer that was cut before its end is a fault too.

    Parts of a Score, each 0 or 1: "empty", "gibberish", "repetition", "cut"; the total is 1 where all that count are 0.
    Raises UserError for a limit outside (0, 1].
    """
    for name, limit in (("gibberish", gibberish), ("repetition", repetition)):
        if not 0 < limit <= 1:
            raise UserError(f"reward quality: {name}={limit}: it is a share of an answer's words in (0, 1]")

    def score(answer: Answer) -> Score:
        faults = {
            "empty": quality.is_empty(answer.text),
            "gibberish": quality.gibberish(answer.text) >= gibberish,
            "repetition": quality.repetition(answer.text) >= repetition,
            "cut": not answer.finished,
        }
        sound = not any(found for name, found in faults.items() if cut or name != "cut")
        return Score(float(sound), {name: float(found) for name, found in faults.items()})

    def reward(records: Sequence[PromptRecord], answers: Sequence[Answer]) -> list[Score]:
        return [score(answer) for _, answer in zip(records, answers, strict=True)]

    return reward
