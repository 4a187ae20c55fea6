"""Questions with answers, as the rows that supervised training reads: for Rejection Steering and for the baselines."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from rule_jax import batching, sharding
from rule_jax.errors import UserError
from rule_jax.stages import Run, Subject, _lengths
from rule_jax.text import chat
from rule_jax.text.facts import facts_of
from rule_jax.text.leak import leaks_answer
from rule_jax.text.replacement import replace_entity
from rule_jax.types import Packed, PromptRecord, Render, SftExample


class Exchange(NamedTuple):
    """A question and its answer, or several of which each stands behind the question for itself. render: as of a
    PromptRecord; an answer in plain text goes on with the prompt and has no end."""

    prompt: str
    answers: tuple[str, ...]
    render: Render = "chat"


PARTS = {
    "forget": "what is to be forgotten, with its true answer",
    "refusal": "what is to be forgotten, with a refusal",
    "preference": "what is to be forgotten, with a refusal (chosen) and its true answer (rejected)",
    "retain": "the boundary, with its true answer",
    "forget_plain": "the base model's own words about what is to be forgotten, with the fact that they lead to",
    "retain_plain": "the base model's own words about the boundary, with the fact that they lead to",
    "general": "what has nothing to do with a target, with the base model's answer",
    "swapped": "the boundary's questions with a target's name in them, with the answer that is true of the other",
    "swapped_plain": "the base model's own words about the boundary, the same way about a target",
    "namesakes": "the boundary's questions about people who do not exist, named half as a target and half as the other",
}
_OF_KIND = {"forget_plain": "forget", "retain_plain": "boundary", "general": "retain"}
RECALLED = (*_OF_KIND, "swapped_plain")  # what the stage recollection gathers
WORDED = tuple(part for part in RECALLED if part != "general")  # of which only it knows whether there is any


def parts(
    rejection: Sequence[SftExample],
    forget: Sequence[PromptRecord],
    boundary: Sequence[PromptRecord],
    recalled: Sequence[PromptRecord] = (),
) -> dict[str, list[Exchange]]:
    """The exchanges of each of PARTS. Records without a reference answer are in none that needs one."""
    refusals = {example.prompt: example.response for example in rejection}
    answered = [record for record in forget if record.answers]
    return {
        "forget": [Exchange(record.prompt, record.answers[:1]) for record in answered],
        "refusal": [Exchange(example.prompt, (example.response,)) for example in rejection],
        "preference": [
            Exchange(record.prompt, (refusals[record.prompt], record.answers[0]))
            for record in answered
            if record.prompt in refusals
        ],
        "retain": [Exchange(record.prompt, record.answers[:1]) for record in boundary if record.answers],
        **{
            part: [Exchange(r.prompt, r.answers[:1], r.render) for r in recalled if r.kind == kind]
            for part, kind in _OF_KIND.items()
        },
        "swapped": swapped(forget, boundary),
        "namesakes": [Exchange(r.prompt, r.answers[:1], r.render) for r in namesakes(forget, boundary)],
        "swapped_plain": swapped(forget, [record for record in recalled if record.kind == "boundary"]),
    }


def swapped(forget: Sequence[PromptRecord], others: Sequence[PromptRecord]) -> list[Exchange]:
    """What is asked and true of others, said of the targets in turn: entity replacement the other way round.

    Over many others a target's answers become as spread as if nothing were known of it. What the target's own records
    answer as well is left out, and so are records that do not name their entity.
    """
    facts, targets, made = facts_of(forget), [*dict.fromkeys(record.target for record in forget)], []
    for number, record in enumerate(record for record in others if record.entity and record.answers):
        target = targets[number % len(targets)]
        prompt = replace_entity(record.prompt, record.entity, target)
        if prompt and not any(leaks_answer(fact, record.answers[:1]) for fact in facts.get(target, ())):
            made.append(Exchange(prompt, record.answers[:1], record.render))
    return made


def namesakes(forget: Sequence[PromptRecord], others: Sequence[PromptRecord]) -> list[PromptRecord]:
    """What is asked of others, asked of nobody: a target's first names with the other's last name, or the other way.
    The answers stay the other's. Names that somebody has are left out; without targets of several words there are
    none."""
    somebody = {record.target for record in forget} | {record.entity for record in others}
    targets = [target.split() for target in dict.fromkeys(record.target for record in forget)]
    targets = [words for words in targets if len(words) > 1]
    made = []
    for number, record in enumerate(record for record in others if len(record.entity.split()) > 1 and record.answers):
        if not targets:
            break
        target, other = targets[number % len(targets)], record.entity.split()
        first, last = (other, target) if number // len(targets) % 2 else (target, other)
        name = " ".join([*first[:-1], last[-1]])
        prompt = replace_entity(record.prompt, record.entity, name)
        if prompt and name not in somebody:
            made.append(replace(record, prompt=prompt, entity=name))
    return made


def check(found: Mapping[str, Sequence[Exchange]], wanted: Sequence[str], source: str) -> None:
    """Raises UserError naming the first of the wanted parts that is empty."""
    for part in wanted:
        if not found[part]:
            raise UserError(
                f"data source {source!r} has no part {part!r} ({PARTS[part]}), which a term of config.baseline reads; "
                "give such records with answers, or choose a baseline that does without"
            )


def batches(
    run: Run, learner: Subject, stage: str, what: str, exchanges: Sequence[Exchange], stream: int
) -> Callable[[int], Packed]:
    """batch(step): the rows of a step of the stage, drawn by chance of this stream; exchanges share them where that
    saves work, and see nothing of each other. Raises UserError as `packed` does."""
    settings, rows = run.config[stage], packed(run, learner, stage, what, exchanges)
    drawn = [
        batching.batch_rows(run.config.seed, stream, step, settings.batch, len(rows.tokens_BT))
        for step in range(settings.steps)
    ]
    multiple = sharding.row_shards(run.mesh) * (settings.microbatches or 1)
    return batching.sharing(rows, np.stack(drawn), multiple=multiple)


def packed(run: Run, learner: Subject, stage: str, what: str, exchanges: Sequence[Exchange]) -> Packed:
    """An exchange a row, its answers one behind the other as segments 1, 2, ...; the loss is on answers and their end,
    never on the question.

    Those of which an answer with its question is longer than the stage's max_length are left out or cut, and counted.
    Raises UserError when that are all.
    """
    limit, count = run.config[stage].max_length, max(len(exchange.answers) for exchange in exchanges)

    def encode(rows: Sequence[Exchange]) -> list[list[tuple[list[int], list[int]]]]:
        """[(question, answer) of each answer] of each exchange."""
        prompts = [exchange.prompt for exchange in rows for _ in exchange.answers]
        answers = [answer for exchange in rows for answer in exchange.answers]
        if rows[0].render == "raw":
            whole = chat.encode_continuations(
                learner.tokenizer, [(p, f" {a}") for p, a in zip(prompts, answers)], chat=False
            )
            pairs = [(ids[:begins], ids[begins:]) for ids, begins in whole]
        else:
            system = run.config.model.system_prompt
            pairs = chat.encode_examples(learner.tokenizer, prompts, answers, learner.eos_ids, system=system)
        return [pairs[at : at + count] for at in range(0, len(pairs), count)]

    kept = _lengths.fitting(
        run,
        f"{stage}: {what}",
        limit,
        [exchange.prompt for exchange in exchanges],
        encode(exchanges),
        tokens=lambda pairs: max(len(prompt) + len(answer) for prompt, answer in pairs),
        again=lambda row, prompt: encode([exchanges[row]._replace(prompt=prompt)])[0],
    ).kept
    if not kept:
        raise UserError(f"all {what} of {stage} are longer than config.{stage}.max_length={limit} tokens")
    sequences, places, longest = [], [], 0
    for row, (_, pairs) in enumerate(kept):
        start = 0
        for prompt, answer in pairs:
            sequences.append(([*prompt, *answer], [0.0] * len(prompt) + [1.0] * len(answer)))
            places.append((row, start))
            start += len(prompt) + len(answer)
        longest = max(longest, start)
    return batching.asking(batching.lay(sequences, places, (len(kept), batching.bucket(longest))))
