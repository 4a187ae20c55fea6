"""Refusals for stage 1, where a source brings none that name the target."""

import random
from collections.abc import Sequence

from rule_jax.text import templates
from rule_jax.types import PromptRecord, SftExample


def dealt(forget: Sequence[PromptRecord], seed: int) -> tuple[SftExample, ...]:
    """A refusal that names the target for each question: the templates of `rule_jax.text.templates`, shuffled by the
    seed and dealt out round and round, each as often as the others."""
    deck = random.Random(seed).sample(templates.REFUSALS, len(templates.REFUSALS))
    return tuple(
        SftExample(record.prompt, templates.render(deck[row % len(deck)], record.target), record.source)
        for row, record in enumerate(forget)
    )
