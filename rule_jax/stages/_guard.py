"""What stands between a question and a model: a system prompt, and a filter that refuses by itself.

Baselines that train nothing are made of it: in-context unlearning and guardrails of prompts (https://arxiv.org/abs/
2403.03329). The weights behind it know what they knew: attacks on weights, and relearning, walk round it.
"""

from typing import NamedTuple

from rule_jax.errors import UserError
from rule_jax.stages import Run
from rule_jax.text.names import names_target
from rule_jax.text.templates import PLAIN, render

STAGE = "baseline"
TARGETS = "{targets}"  # in a system prompt, where the names come


class Guard(NamedTuple):
    """system: the system prompt of chat turns, "" for none. refused: a question that names one of these is answered by
    a refusal, whatever the model would say and however the question is put."""

    system: str = ""
    refused: tuple[str, ...] = ()

    def refusal(self, prompt: str) -> str | None:
        """The refusal of a question that names a target, None of any other."""
        named = next((target for target in self.refused if names_target(prompt, target)), None)
        return None if named is None else render(PLAIN[0], named)


def check(run: Run) -> None:
    """Raises UserError for a system prompt of a baseline that names nobody."""
    words = run.config.baseline.system_prompt
    if words and TARGETS not in words:
        raise UserError(
            f"config.baseline.system_prompt={words[:60]!r} has no {TARGETS}, in whose place the names of who is to be "
            "forgotten come"
        )


def bare(run: Run) -> Guard:
    """That of a model as it is: the run's own system prompt."""
    return Guard(run.config.model.system_prompt)


def of(run: Run, model: str, targets: tuple[str, ...]) -> Guard:
    """That of a model of the run, by its name; `targets` are who is to be forgotten."""
    if model != STAGE:
        return bare(run)
    settings = run.config.baseline
    own = settings.system_prompt.replace(TARGETS, ", ".join(targets))
    system = "\n".join(words for words in (run.config.model.system_prompt, own) if words)
    return Guard(system, targets if settings.filter else ())
