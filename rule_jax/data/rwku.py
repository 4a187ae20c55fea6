"""RWKU (arXiv 2406.10890), with the training files that RULE (arXiv 2506.07171) added to it.

The address is a target's folder, or "hub:jinzhuoran/RWKU#Stephen King": the hub has the benchmark's own tables for all
targets, but not RULE's, so that `training_file` must then be a file of one's own and `rejection_file` that or "".

What training needs is in `reject*.json` (stage 1) and `rl_rejection*.json` (stage 2), what evaluation needs in
`forget_level{1,2,3}.json` and `neighbor_level{1,2}.json`; `intro.json` says whose folder it is. How the training rows'
`solution` lists are read:

* ["<reject>", refusal, target]: to be refused. The refusal is a sample of the wanted behaviour, not a fact, so the
  record has no answers. Files without `_target` in their names leave the target out.
* ["<reject>", true answer, target] in `rl_rejection_eval*.json`, which repeats the probes: the answer is kept.
* ["<normal>", answer, ...]: to be answered. Whatever follows the tag is a reference (1, 5 or 10 of them were seen:
  one right answer, or samples of a model's own). Repeated references are kept once. A reference that is the target's
  name would reward naming it; none occurs, and where another reference stands beside it, it is left out. Whom the row
  is about the file does not say; it is told by the rows to be refused around it, of which it is one with the target
  replaced.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from rule_jax.data import _refusals, _rows, _tables
from rule_jax.data._tables import Place, Table
from rule_jax.errors import UserError, nearest
from rule_jax.text.overlap import normalize
from rule_jax.text.replacement import replaced_by
from rule_jax.types import (
    MultipleChoice,
    Passage,
    Preference,
    PromptRecord,
    ReasoningQuestion,
    SftExample,
    UnlearningData,
)

REJECT, NORMAL = "<reject>", "<normal>"
AROUND = 4  # rows of a training file, within which those stand that were made of one another
EVALUATION_PREFIX = "rl_rejection_eval"

PROBES = {
    "forget_fb": Table("forget_level1", "forget_level1", "test"),
    "forget_qa": Table("forget_level2", "forget_level2", "test"),
    "forget_aa": Table("forget_level3", "forget_level3", "test"),
    "neighbor_fb": Table("neighbor_level1", "neighbor_level1", "test"),
    "neighbor_qa": Table("neighbor_level2", "neighbor_level2", "test"),
}
_INTRO_TABLE = Table("intro", "forget_target", "train")

PARTS = {  # what else a folder may have: scored in the evaluation, or learned from by other methods
    "mmlu": Table("retain_mmlu", "utility_general", "test"),
    "bbh": Table("retain_bbh", "utility_reason", "test"),
    "truthfulqa": Table("truthful", "utility_truthfulness", "test"),
    "triviaqa": Table("triviaqa", "utility_factuality", "test"),
    "fluency": Table("fluency", "utility_fluency", "test"),
    "forget_mia": Table("forget_mia", "mia_forget", "test"),
    "retain_mia": Table("retain_mia", "mia_retain", "test"),
    "passage": Table("passage", "train_original_passage", "train"),
    "positive": Table("positive", "train_positive_llama3", "train"),
    "negative": Table("negative", "train_negative_llama3", "train"),
    "pair": Table("pair", "train_pair_llama3", "train"),
}

_INTRO = {"target": _rows.TEXT}
_REJECTION = {
    "instruction": _rows.TEXT,
    "input": _rows.Field("a string", _rows.is_string, required=False),
    "output": _rows.TEXT,
    "subject": _rows.TEXT,
}
_TRAINING = {"prompt": _rows.TEXT, "solution": _rows.TEXTS}
_PROBE = {"query": _rows.TEXT, "answer": _rows.TEXT, "subject": _rows.TEXT}
_PROBE_FIELDS = {
    "forget_fb": _PROBE,
    "forget_qa": _PROBE,
    "forget_aa": {**_PROBE, "type": _rows.TEXT},
    "neighbor_fb": {**_PROBE, "neighbor": _rows.TEXT},
    "neighbor_qa": {**_PROBE, "neighbor": _rows.TEXT},
}


class Probes(NamedTuple):
    """The evaluation's queries by set (the keys of PROBES, those that the folder has), and the files it lacks."""

    sets: dict[str, tuple[PromptRecord, ...]]
    missing: tuple[str, ...]


def load(path: str, *, seed: int, rejection_file: str, training_file: str) -> UnlearningData:
    """What training needs of a target.

    path: its folder, such as `RWKU/Target/1_Stephen_King`, or its address on the hub.
    seed: which of our refusals goes with which question, where the source brings none.
    rejection_file: the refusals of stage 1, normally `reject_target.json`; "" deals out our own, which name the target.
    training_file: the two sides of stage 2, normally `rl_rejection_with_fb_neighbor_target.json`.
    Raises UserError for a missing folder or file, for malformed rows (all at once), for rows about another target than
    the one in intro.json, and for a training file with nothing to forget or none of whose forget prompts
    has a word of the target's name.
    """
    place, target, faults = _tables.place(path), target_name(path), _rows.Faults()
    own = place.own_file(rejection_file, "config.data.rwku.rejection_file") if rejection_file else None
    rejection = _rejection(own, target, faults) if own else ()
    training = place.own_file(training_file, "config.data.rwku.training_file")
    records = _training(training, target, faults)
    faults.stop()
    forget = tuple(record for record in records if record.kind == "forget")
    boundary = tuple(_named(records, at) for at, record in enumerate(records) if record.kind == "boundary")
    if not forget:
        raise UserError(f"{training} has no {REJECT} row: nothing to forget. Name another file.")
    if not any(_mentions(record.prompt, target) for record in forget):
        raise UserError(
            f"none of the {len(forget)} forget prompts of {training} has a word of the target's name, {target!r}. "
            "Name the file of this target."
        )
    return UnlearningData((target,), rejection or _refusals.dealt(forget, seed), forget, boundary)


def _named(records: Sequence[PromptRecord], at: int) -> PromptRecord:
    """The boundary record with its entity, where it is a forget record's around it with the target replaced."""
    around = (record for record in records[max(at - AROUND, 0) : at + AROUND + 1] if record.kind == "forget")
    pairs = (replaced_by(record.prompt, record.target, records[at].prompt) for record in around)
    name, _ = max(filter(None, pairs), key=itemgetter(1), default=("", 0.0))
    return replace(records[at], entity=name)


def evaluation(path: str) -> Probes:
    """The probes of a target, of kind "forget" or (neighbours) "boundary", with the true answer.

    An adversarial probe's type ends its source, "rwku/1_Stephen_King/forget_level3.json:7#role play"; see
    `adversarial_type`. Raises UserError for malformed rows, and when there is no probe file at all.
    """
    place = _tables.place(path)
    present = {name: table for name, table in PROBES.items() if place.has(table)}
    missing = tuple(place.path(table).name for name, table in PROBES.items() if name not in present)
    if not present:
        raise UserError(f"{path} has no probes ({', '.join(missing)}); it has {place.holds()}.")
    target, faults = target_name(path), _rows.Faults()
    sets = {name: _probes(place, name, target, faults) for name in present}
    faults.stop()
    return Probes(sets, missing)


def target_name(path: str) -> str:
    """The entity that is to be forgotten: a folder's by its intro.json, the hub's by what stands behind the "#".

    Raises UserError unless intro.json has just one row, or the hub has a target of that name.
    """
    place, faults = _tables.place(path), _rows.Faults()
    if place.hub and not place.subject:
        raise UserError(f"{path} has many targets; say which one: {path}#Stephen King, for one.")
    file = place.path(_INTRO_TABLE)
    rows = _rows_of_intro(place, faults)
    faults.stop()
    targets = [row.values["target"].strip() for row in rows]
    if place.hub:
        known = next((target for target in targets if _tables.same_name(target, place.subject)), "")
        if not known:
            hint = nearest(place.subject, targets)
            raise UserError(f"{file} has no target {place.subject!r} among its {len(targets)}.{hint}")
        return known
    if len(targets) != 1:
        raise UserError(f"{file} names {len(targets)} targets; a folder is about one, so it must have one row.")
    return targets[0]


def adversarial_type(record: PromptRecord) -> str:
    """The type of an adversarial probe as RWKU words it, such as "role play"; "" for any other record."""
    found = re.search(r":\d+#(.*)", record.source)
    return found.group(1) if found else ""


def parts(path: str) -> tuple[str, ...]:
    """Those of PARTS that a target has."""
    place = _tables.place(path)
    return tuple(name for name, table in PARTS.items() if place.has(table))


def passages(path: str, part: str) -> tuple[Passage, ...]:
    """Plain text: "forget_mia" and "retain_mia" (seen and unseen by every model alike), "passage", "positive",
    "negative". Raises UserError, as all readers of a part, when it is not there and for malformed rows."""
    return tuple(Passage(row["text"], source) for row, source in _part(path, part, {"text": _rows.TEXT}))


def preferences(path: str) -> tuple[Preference, ...]:
    """The part "pair": `response` holds the one to be preferred, which avoids the target, and the one that does not."""
    two = _rows.Field("a list of two texts", lambda value: _rows.are_texts(value) and len(value) == 2)
    rows = _part(path, "pair", {"prompt": _rows.TEXT, "response": two})
    return tuple(Preference(row["prompt"], row["response"][0], row["response"][1], source) for row, source in rows)


def mmlu(path: str) -> tuple[MultipleChoice, ...]:
    """General ability: four choices, one right; `examples` are the shots, of the same subject."""
    solved = {"question": _rows.TEXT, "choices": _rows.TEXTS, "answer": _rows.Field("the place of a choice", _is_place)}
    shots = _rows.Field(
        "a list of solved questions", lambda value: isinstance(value, list) and all(_holds(x, solved) for x in value)
    )
    rows = _part(path, "mmlu", {**solved, "task": _rows.TEXT, "examples": shots}, _places_exist)
    return tuple(
        MultipleChoice(
            **_choice(row), group=row["task"], shots=tuple(MultipleChoice(**_choice(x)) for x in row["examples"]),
            source=source,
        )
        for row, source in rows
    )  # fmt: skip


def truthfulqa(path: str) -> tuple[tuple[MultipleChoice, ...], tuple[MultipleChoice, ...]]:
    """(MC1, MC2): the same questions with one true choice, and with all that are true."""
    rows = _part(path, "truthfulqa", {"question": _rows.TEXT, "mc1_targets": _LABELLED, "mc2_targets": _LABELLED})

    def made(name: str) -> tuple[MultipleChoice, ...]:
        return tuple(
            MultipleChoice(
                row["question"],
                tuple(row[name]["choices"]),
                tuple(place for place, label in enumerate(row[name]["labels"]) if label),
                source=source,
            )
            for row, source in rows
        )

    return made("mc1_targets"), made("mc2_targets")


def bbh(path: str) -> tuple[ReasoningQuestion, ...]:
    """Reasoning: questions with the chains of thought (`cot`) that are put before them."""
    rows = _part(path, "bbh", {"question": _rows.TEXT, "answer": _rows.TEXT, "cot": _rows.STRING, "task": _rows.TEXT})
    return tuple(
        ReasoningQuestion(_retained(row["question"], (row["answer"],), source), row["cot"], row["task"])
        for row, source in rows
    )


def triviaqa(path: str) -> tuple[PromptRecord, ...]:
    """Factuality: questions with every accepted answer."""
    rows = _part(path, "triviaqa", {"question": _rows.TEXT, "answers": _rows.TEXTS})
    return tuple(_retained(row["question"], tuple(row["answers"]), source) for row, source in rows)


def fluency(path: str) -> tuple[PromptRecord, ...]:
    """Instructions whose responses are judged by their fluency alone; they have no answer."""
    return tuple(
        _retained(row["instruction"], (), source) for row, source in _part(path, "fluency", {"instruction": _rows.TEXT})
    )


def refusals(path: str, file: str) -> tuple[str, ...]:
    """The sentences of a file that is an array of texts, such as idk_target.json."""
    place, faults = _tables.place(path), _rows.Faults()
    texts = [(number, {"text": value}) for number, value in _rows.parse(place.folder / file, faults)]
    rows = _rows.checked(place.folder / file, texts, {"text": _rows.TEXT}, faults, closed=False)
    faults.stop()
    return tuple(row.values["text"].strip() for row in rows)


def _part(
    path: str, part: str, fields: Mapping[str, _rows.Field], rule: _rows.Rule = _rows.no_rule
) -> list[tuple[dict[str, Any], str]]:
    """(values, source) of each row. rule: what else a row must be."""
    place, faults = _tables.place(path), _rows.Faults()
    file, rows = place.path(PARTS[part]), place.rows(PARTS[part], fields, faults, rule=rule)
    faults.stop()
    return [(row.values, _source(file, row.number)) for row in rows]


def _retained(prompt: str, answers: tuple[str, ...], source: str) -> PromptRecord:
    return PromptRecord(prompt, "retain", answers=answers, source=source)


def _is_place(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _places_exist(row: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    expected = "the place, from 0, of one of the {} choices"
    if {"answer", "choices"} <= row.keys() and row["answer"] >= len(row["choices"]):
        yield "answer", _rows.shown(row["answer"]), expected.format(len(row["choices"]))
    off = [shot for shot in row.get("examples", ()) if shot["answer"] >= len(shot["choices"])]
    if off:
        yield "examples", f"the answer {off[0]['answer']}", expected.format(len(off[0]["choices"]))


def _choice(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"question": row["question"], "choices": tuple(row["choices"]), "correct": (row["answer"],)}


def _holds(value: Any, fields: Mapping[str, _rows.Field]) -> bool:
    return isinstance(value, dict) and all(
        name in value and field.accepts(value[name]) for name, field in fields.items()
    )


def _are_labelled(value: Any) -> bool:
    if not _holds(value, {"choices": _rows.TEXTS, "labels": _rows.Field("a list", lambda x: isinstance(x, list))}):
        return False
    labels = value["labels"]
    return len(labels) == len(value["choices"]) and all(label in (0, 1) for label in labels) and any(labels)


_LABELLED = _rows.Field("{choices, labels}: as many 0s and 1s as choices, a 1 among them", _are_labelled)


def _rows_of_intro(place: Place, faults: _rows.Faults) -> list[_rows.Row]:
    return Place(place.folder, place.hub, "").rows(_INTRO_TABLE, _INTRO, faults)


def _mentions(prompt: str, target: str) -> bool:
    """Whether any longer word of the name is there: probes say "Robert Downey" and "Downey's" for Robert Downey, Jr."""
    words = normalize(target).split()
    return bool(set(normalize(prompt).split()) & set([word for word in words if len(word) > 2] or words))


def _rejection(file: Path, target: str, faults: _rows.Faults) -> tuple[SftExample, ...]:
    examples = []
    for number, row in _tables.read(file, _REJECTION, faults, closed=False, rule=_subject(target)):
        parts = (row["instruction"].strip(), row.get("input", "").strip())
        prompt = "\n".join(part for part in parts if part)
        examples.append(SftExample(prompt, row["output"].strip(), _source(file, number)))
    return tuple(examples)


def _training(file: Path, target: str, faults: _rows.Faults) -> tuple[PromptRecord, ...]:
    records = []
    rule = partial(_solution_faults, target=target)
    for number, row in _tables.read(file, _TRAINING, faults, closed=False, rule=rule):
        solution = [item.strip() for item in row["solution"]]
        prompt, source = row["prompt"].strip(), _source(file, number)
        if solution[0] == REJECT:
            answers = (solution[1],) if file.name.startswith(EVALUATION_PREFIX) else ()
            records.append(PromptRecord(prompt, "forget", target, target, answers, source))
        else:
            records.append(PromptRecord(prompt, "boundary", answers=_references(solution, target), source=source))
    return tuple(records)


def _solution_faults(row: Mapping[str, Any], target: str) -> Iterator[tuple[str, str, str]]:
    if "solution" in row:
        found, expected = _solution_fault([item.strip() for item in row["solution"]], target)
        if expected:
            yield "solution", found, expected


def _solution_fault(solution: list[str], target: str) -> tuple[str, str]:
    """What is wrong with a solution, as (found, expected); two empty texts when nothing is."""
    tag = solution[0] if solution else ""
    if tag not in (REJECT, NORMAL):
        return _rows.shown(tag) if tag else "an empty list", f'"{REJECT}" or "{NORMAL}" as the first element'
    if tag == NORMAL and len(solution) < 2:
        return f"{len(solution)} element", f'"{NORMAL}" and at least one answer'
    if tag == REJECT and len(solution) not in (2, 3):
        return f"{len(solution)} elements", f'"{REJECT}", a refusal or answer, and the target'
    if tag == REJECT and len(solution) == 3 and not _tables.same_name(solution[2], target):
        return _rows.shown(solution[2]), f"the target of intro.json, {target!r}, as the third element"
    return "", ""


def _references(solution: list[str], target: str) -> tuple[str, ...]:
    references = tuple(dict.fromkeys(solution[1:]))
    return tuple(reference for reference in references if not _tables.same_name(reference, target)) or references


def _probes(place: Place, name: str, target: str, faults: _rows.Faults) -> tuple[PromptRecord, ...]:
    records, file = [], place.path(PROBES[name])
    for number, row in place.rows(PROBES[name], _PROBE_FIELDS[name], faults, rule=_subject(target)):
        prompt, answers, source = row["query"].strip(), (row["answer"].strip(),), _source(file, number)
        if "neighbor" in _PROBE_FIELDS[name]:
            records.append(PromptRecord(prompt, "boundary", "", row["neighbor"].strip(), answers, source))
        else:
            kind = f"#{row['type'].strip()}" if "type" in _PROBE_FIELDS[name] else ""
            records.append(PromptRecord(prompt, "forget", target, target, answers, source + kind))
    return tuple(records)


def _subject(target: str) -> _rows.Rule:
    """The rule of rows that say whom they are about."""

    def faults(row: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
        if "subject" in row and not _tables.same_name(row["subject"], target):
            yield "subject", _rows.shown(row["subject"]), f"the target of intro.json, {target!r}"

    return faults


def _source(file: Path, number: int) -> str:
    return f"rwku/{file.absolute().parent.name}/{file.name}:{number}"
