"""An OpenAI-compatible endpoint writes; config.llm says which."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rule_jax import telemetry
from rule_jax.builder import Backend
from rule_jax.builder.backends import Desk, _chat
from rule_jax.llm.client import Client, Request


def make(desk: Desk, *, relations: int, items: int, rounds: int, temperature: float, max_tokens: int) -> Backend:
    """Options as in `_chat.make`. The endpoint is looked for when something has to be asked of it. Raises UserError as
    `llm.client.Client`."""
    client = Client(desk.journal, **desk.run.config.llm)
    reached = False

    def ask(requests: Sequence[Request], parse: Callable[[str], Any], what: str) -> Iterator[Any]:
        nonlocal reached
        if not reached and not all(map(client.answered, requests)):
            client.check()
            reached = True
        with telemetry.Progress(what, len(requests), unit="replies") as bar:
            for answer in client.stream(requests, parse):
                bar.advance({"cost": client.usage.money})
                yield answer

    return _chat.make(
        ask,
        desk.wording,
        relations=relations,
        items=items,
        rounds=rounds,
        temperature=temperature,
        max_tokens=max_tokens,
        spent=lambda: asdict(client.usage),
    )
