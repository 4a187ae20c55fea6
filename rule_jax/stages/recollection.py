"""What the base model itself says before it is made to forget: how it comes to speak of the facts, and its own answers.

Left alone with a name, the base model writes about its bearer, in the words in which it keeps the facts. Each text is
cut before the first fact, and what is left is a beginning that leads there: on the target's side one that must no
longer do so, on the boundary's one that still must. Queries to be retained that come without an answer get the one that
the base model gives, so that what is retained is what it knew; forget queries without one get the facts of the base
model's, so that what is forgotten is what it knew.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from rule_jax import processes, telemetry
from rule_jax.data import jsonl
from rule_jax.errors import UserError
from rule_jax.stages import Run, check_divides, check_positive, evaluate, subject
from rule_jax.stages._answering import Answerer
from rule_jax.text.facts import facts_of, told
from rule_jax.text.refusal import is_refusal
from rule_jax.types import Kind, PromptRecord, Task

FILE = "own_words"
FORGET = "recalled"
WITHOUT = (
    'take "recollection" out of config.stages and set own_words in config.boundary_optimization.forms and retain_share '
    "to 0"
)
SIDES: tuple[tuple[Kind, str], ...] = (("forget", "samples"), ("boundary", "boundary_samples"))


def check(run: Run) -> None:
    """Raises UserError for numbers that make no sense."""
    settings, batch = run.config.recollection, run.config.evaluate.batch
    check_positive("recollection", settings, "max_new_tokens", *(samples for _, samples in SIDES))
    for _, samples in SIDES:
        if batch % settings[samples]:
            raise UserError(
                f"config.recollection.{samples}={settings[samples]} must divide config.evaluate.batch={batch}"
            )
        check_divides(run, f"config.evaluate.batch / config.recollection.{samples}", batch // settings[samples])


def run(run: Run) -> None:
    """Writes data/own_words.jsonl: forget and boundary records that are plain text to be continued, and the queries of
    data/retain.jsonl, answered, as far as the base model does not refuse to; where forget queries came without answers,
    data/recalled.jsonl, all of them with what the base model knows. Raises UserError where the base model tells none of
    the facts of a side."""
    settings, examined = run.config.recollection, subject(run)
    records = {kind: run.records(kind) for kind, _ in SIDES}
    retain = run.records("retain")
    if run.config.boundary_optimization.retain_share and not retain:
        raise UserError(
            "the data has no retain records, of which config.boundary_optimization.retain_share wants some in a batch: "
            "set it to 0"
        )
    untold = tuple(record for record in records["forget"] if not record.answers)
    check_facts({kind: facts_of(of) for kind, of in records.items() if not (untold and kind == "forget")})
    answers = Answerer(run, examined)
    params = evaluate.params(run, examined, evaluate.BASE)
    if untold:
        said = answers(params, [Task("forget", untold, judge=_no_verdict)], "recollection")["forget"]
        known = {record: knows(record, texts[0]) for record, texts in zip(untold, said) if texts}
        found = sum(bool(record.answers) for record in known.values())
        telemetry.info(f"recollection: of {len(untold)} forget queries without answers the base model answers {found}")
        records["forget"] = tuple(known.get(record, record) for record in records["forget"])
    facts = {kind: facts_of(of) for kind, of in records.items()}
    check_facts(facts)
    alone = [_alone(kind, facts[kind], settings[samples], settings.max_new_tokens) for kind, samples in SIDES]
    unanswered = tuple(record for record in retain if not record.answers)
    tasks = [*alone, Task("retain", unanswered, judge=_no_verdict)]
    texts = answers(params, tasks, "recollection")

    own: list[PromptRecord] = []
    for task, (kind, _) in zip(alone, SIDES):
        asked = zip(task.records, texts[task.name])
        found = [made for name, said in asked for made in beginnings(kind, name.entity, said, facts[kind][name.entity])]
        if not found:
            raise UserError(
                f"left alone with the names of the {kind} records, the base model tells none of their facts within "
                f"config.recollection.max_new_tokens={settings.max_new_tokens} tokens; raise that or its samples, or "
                f"{WITHOUT}"
            )
        own += found
    replies = {record: said[0] for record, said in zip(unanswered, texts["retain"]) if said}  # none: too long a prompt
    answered = [replace(record, answers=(replies[record],)) if record in replies else record for record in retain]
    answered = [record for record in answered if any(record.answers) and not is_refusal(record.answers[0])]
    if processes.first():
        jsonl.write(run.data_file(FILE), [*own, *answered])
        if untold:
            jsonl.write(run.data_file(FORGET), records["forget"])
    processes.wait("recollection")
    counts = " and ".join(f"{sum(record.kind == kind for record in own)} {kind}" for kind, _ in SIDES)
    telemetry.info(f"recollection: {counts} beginnings that lead to a fact; {len(answered)} retain queries answered")


def forget(run: Run) -> tuple[PromptRecord, ...]:
    """The forget records, with what the base model knows where they came without answers and the stage has run."""
    return run.records(FORGET if run.data_file(FORGET).exists() else "forget")


def knows(record: PromptRecord, reply: str) -> PromptRecord:
    """The record, answered with the facts of the base model's reply; as it is where that refuses or tells none."""
    facts = () if is_refusal(reply) else told(record.prompt, reply, record.entity or record.target)
    return replace(record, answers=facts) if facts else record


def check_facts(facts: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
    """Raises UserError for a side whose records tell no facts of any entity, so that nothing could be looked for."""
    for kind, known in facts.items():
        if not known:
            raise UserError(
                f"none of the {kind} records has both a name and an answer, its own or the base model's, so that no "
                f"fact is known which the base model could come to speak of; give answers, or {WITHOUT}"
            )


def _alone(kind: Kind, facts: Mapping[str, Sequence[str]], samples: int, max_new_tokens: int) -> Task:
    return Task(
        name=f"own_words_{kind}",
        records=tuple(PromptRecord(name, kind, entity=name) for name in facts),
        judge=_no_verdict,
        render="raw",
        temperature=1.0,
        samples=samples,
        max_new_tokens=max_new_tokens,
    )


def _no_verdict(record: PromptRecord, text: str) -> dict[str, float]:
    return {}


def beginnings(kind: Kind, name: str, texts: Sequence[str], facts: Sequence[str]) -> list[PromptRecord]:
    """The distinct texts that follow a name, each up to the first fact that it tells; texts that tell none are left
    out. answers: the fact that stood there; on the forget side all others behind it, of which none may follow."""
    pattern = re.compile(r"(?<!\w)(" + "|".join(sorted(map(re.escape, facts), key=len, reverse=True)) + r")(?!\w)")
    made: dict[str, PromptRecord] = {}
    for text in texts:
        told = pattern.search(text)
        if told is None:
            continue
        blank = "" if re.match(r"[,.;:'’)-]", text) else " "
        prompt = (name + blank + text[: told.start()]).rstrip()
        fact = told.group(1)
        answers = (fact, *(other for other in facts if other != fact and kind == "forget"))
        target = name if kind == "forget" else ""
        source = f"own words/{name}/{len(made)}"
        made.setdefault(
            prompt, PromptRecord(prompt, kind, target=target, entity=name, answers=answers, source=source, render="raw")
        )
    return list(made.values())
