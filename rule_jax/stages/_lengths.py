"""Prompts that are longer than a stage can take: left out or cut as config.data.too_long says, and always told."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from rule_jax import telemetry
from rule_jax.errors import UserError
from rule_jax.stages import Run, Subject
from rule_jax.text import chat
from rule_jax.types import PromptRecord

T = TypeVar("T")
CHOICES = ("drop", "cut")


class TooLong(NamedTuple):
    """How many of `of` prompts or texts took more than `limit` tokens, and were left out or cut at their beginning."""

    left_out: int
    cut: int
    of: int
    limit: int


class Fitted(NamedTuple, Generic[T]):
    """What a stage takes: (row, encoded) in order; and what it does not take as it is, None where it takes all."""

    kept: list[tuple[int, T]]
    too_long: TooLong | None = None


def check(run: Run) -> None:
    """Raises UserError unless config.data.too_long is one of CHOICES."""
    if run.config.data.too_long not in CHOICES:
        raise UserError(f"config.data.too_long={run.config.data.too_long!r}: it must be one of {', '.join(CHOICES)}")


def prompts(
    run: Run, learner: Subject, what: str, records: Sequence[PromptRecord]
) -> list[tuple[PromptRecord, list[int]]]:
    """(record, token ids) of the prompts that stage 2 can take, each as its record has it rendered;
    config.boundary_optimization says how many tokens. what: as for `fitting`."""
    encoded: dict[int, list[int]] = {}
    by_form: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row, record in enumerate(records):
        by_form[record.render, record.prefill].append(row)

    def encode(record: PromptRecord, texts: list[str]) -> list[list[int]]:
        if record.render == "raw":
            return chat.encode_raw(learner.tokenizer, texts)
        system = run.config.model.system_prompt
        return chat.encode_chat(learner.tokenizer, texts, system=system, prefill=record.prefill)

    for rows in by_form.values():
        encoded |= zip(rows, encode(records[rows[0]], [records[row].prompt for row in rows]))
    fitted = fitting(
        run,
        what,
        run.config.boundary_optimization.max_prompt_tokens,
        [record.prompt for record in records],
        [encoded[row] for row in range(len(records))],
        tokens=len,
        again=lambda row, prompt: encode(records[row], [prompt])[0],
    )
    return [(records[row], ids) for row, ids in fitted.kept]


def fitting(
    run: Run,
    what: str,
    limit: int,
    prompts: Sequence[str],
    encoded: Sequence[T],
    *,
    tokens: Callable[[T], int],
    again: Callable[[int, str], T],
) -> Fitted[T]:
    """The prompts that take at most `limit` tokens.

    what: the stage and, in words, what is limited, for the message. encoded: each prompt as `again(row, prompt)` would
    encode it; tokens: its length. A prompt that is cut loses words at its beginning: what is asked stands at the end.
    One that does not fit without any of its words is left out in either case.
    """
    lengths = [tokens(item) for item in encoded]
    long = [row for row, length in enumerate(lengths) if length > limit]
    if not long:
        return Fitted(list(enumerate(encoded)))
    kept = {row: item for row, item in enumerate(encoded) if lengths[row] <= limit}
    if run.config.data.too_long == "cut":
        for row in long:
            item = _cut(prompts[row], limit, tokens, lambda text, row=row: again(row, text))
            if item is not None:
                kept[row] = item
    cut = sum(row in kept for row in long)
    telemetry.info(
        f"{what}: {len(long)} of {len(encoded)} longer than {limit} tokens (longest {max(lengths)}): {cut} cut at the "
        f"beginning, {len(long) - cut} left out"
    )
    return Fitted(sorted(kept.items()), TooLong(len(long) - cut, cut, len(encoded), limit))


def _cut(prompt: str, limit: int, tokens: Callable[[T], int], encode: Callable[[str], T]) -> T | None:
    """The prompt without as few words at its beginning as make it fit; None where one word is too many."""
    words = prompt.split()
    low, high = 1, len(words)  # dropping `high` words leaves nothing; search the fewest that fit
    while low < high:
        middle = (low + high) // 2
        if tokens(encode(" ".join(words[middle:]))) <= limit:
            high = middle
        else:
            low = middle + 1
    item = encode(" ".join(words[low:])) if low < len(words) else None
    return item if item is not None and tokens(item) <= limit else None
