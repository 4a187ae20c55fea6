"""The model that is to forget writes its own queries: nothing leaves the machine. It must be able to write JSON."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rule_jax import telemetry
from rule_jax.builder import Backend
from rule_jax.builder.backends import Desk, _chat
from rule_jax.builder.base_model import BaseModel
from rule_jax.errors import UserError
from rule_jax.llm.client import Request, SetAside


def make(
    desk: Desk,
    *,
    relations: int,
    items: int,
    rounds: int,
    temperature: float,
    max_tokens: int,
    asked_again: int,
) -> Backend:
    """Options as in `_chat.make`. asked_again: how often a reply that cannot be parsed is asked for again."""
    base = desk.base
    if base is None:
        raise UserError("config.backend='policy' has the model itself write: set config.model.path")
    said = 0

    def ask(requests: Sequence[Request], parse: Callable[[str], Any], what: str) -> Iterator[Any]:
        size = desk.run.config.evaluate.batch
        with telemetry.Progress(what, len(requests), unit="replies") as bar:
            for start in range(0, len(requests), size):
                for answer in settled(requests[start : start + size], parse):
                    bar.advance()
                    yield answer

    def settled(requests: Sequence[Request], parse: Callable[[str], Any]) -> list[Any]:
        nonlocal said
        answers: list[Any] = [None] * len(requests)
        waiting = dict(enumerate(requests))
        for _ in range(1 + asked_again):
            rows = list(waiting)
            for row, reply in zip(rows, _say(base, [waiting[row] for row in rows])):
                said += 1
                try:
                    answers[row] = parse(reply)
                    del waiting[row]
                except ValueError as error:
                    answers[row] = SetAside(requests[row], str(error), reply)
                    waiting[row] = requests[row].corrected(reply, str(error))
            if not waiting:
                break
        return answers

    return _chat.make(
        ask,
        desk.wording,
        relations=relations,
        items=items,
        rounds=rounds,
        temperature=temperature,
        max_tokens=max_tokens,
        spent=lambda: {"replies": said},
    )


def _say(base: BaseModel, requests: Sequence[Request]) -> list[str]:
    """A reply to each, "" where there is no room for one. Turns become one: few chat templates know all roles. All
    requests of a call are equally hot."""
    texts = ["\n\n".join(text for _, text in request.messages) for request in requests]
    heat, longest = requests[0].temperature, requests[0].max_tokens
    replies = base.answers(texts, samples=1, temperature=heat, max_new_tokens=longest, stop="")
    return [next(iter(reply), "") for reply in replies]
