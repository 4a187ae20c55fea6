"""A target folder of RWKU (arXiv 2406.10890), with the training files that RULE (arXiv 2506.07171) added to it.

What training needs is in `reject*.json` (stage 1) and `rl_rejection*.json` (stage 2), what evaluation needs in
`forget_level{1,2,3}.json` and `neighbor_level{1,2}.json`; `intro.json` says whose folder it is. How the training rows'
`solution` lists are read:

* ["<reject>", refusal, target]: to be refused. The refusal is a sample of the wanted behaviour, not a fact, so the
  record has no answers. Files without `_target` in their names leave the target out.
* ["<reject>", true answer, target] in `rl_rejection_eval*.json`, which repeats the probes: the answer is kept.
* ["<normal>", answer, ...]: to be answered. Whatever follows the tag is a reference (1, 5 or 10 of them were seen:
  one right answer, or samples of a model's own). Repeated references are kept once. A reference that is the target's
  name would reward naming it; none occurs, and where another reference stands beside it, it is left out.
"""

import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rule_jax.data import _rows
from rule_jax.types import PromptRecord, SftExample, UnlearningData

REJECT, NORMAL = "<reject>", "<normal>"
EVALUATION_PREFIX = "rl_rejection_eval"

PROBES = {
    "forget_fb": "forget_level1.json",
    "forget_qa": "forget_level2.json",
    "forget_aa": "forget_level3.json",
    "neighbor_fb": "neighbor_level1.json",
    "neighbor_qa": "neighbor_level2.json",
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
    """What training needs of a target folder such as `RWKU/Target/1_Stephen_King`.

    seed: every source of data takes one; a folder is read in its own order, so nothing is drawn from it here.
    rejection_file: the refusals of stage 1, normally `reject_target.json`.
    training_file: the two sides of stage 2, normally `rl_rejection_with_fb_neighbor_target.json`.
    Raises UserError for a missing folder or file, for malformed rows (all at once), for rows about another target than
    the one in intro.json, and for a training file with nothing to forget.
    """
    source = _rows.folder(Path(path))
    target = target_name(path)
    faults = _rows.Faults()
    rejection = _rejection(source / rejection_file, target, faults)
    records = _training(source / training_file, target, faults)
    faults.stop()
    forget = tuple(record for record in records if record.kind == "forget")
    boundary = tuple(record for record in records if record.kind == "boundary")
    if not forget:
        raise _rows.complaint(f"{source / training_file} has no {REJECT} row: nothing to forget. Name another file.")
    return UnlearningData(targets=(target,), rejection=rejection, forget=forget, boundary=boundary)


def evaluation(path: str) -> Probes:
    """The probes of a target folder, of kind "forget" or (neighbours) "boundary", with the true answer.

    An adversarial probe's type ends its source, "rwku/1_Stephen_King/forget_level3.json:7#role play"; see
    `adversarial_type`. Raises UserError for malformed rows, and when there is no probe file at all.
    """
    folder = _rows.folder(Path(path))
    present = {name: file for name, file in PROBES.items() if (folder / file).exists()}
    if not present:
        raise _rows.complaint(f"{folder} has no probes ({', '.join(PROBES.values())}); it has {_rows.listing(folder)}.")
    target = target_name(path)
    faults = _rows.Faults()
    sets = {name: _probes(folder / file, name, target, faults) for name, file in present.items()}
    faults.stop()
    return Probes(sets, tuple(file for name, file in PROBES.items() if name not in present))


def target_name(path: str) -> str:
    """The entity that a target folder is about, by its intro.json. Raises UserError unless that has just one row."""
    file = _rows.folder(Path(path)) / "intro.json"
    faults = _rows.Faults()
    rows = _rows.read(file, _INTRO, faults, closed=False)
    faults.stop()
    if len(rows) != 1:
        raise _rows.complaint(f"{file} names {len(rows)} targets; a folder is about one, so it must have one row.")
    return rows[0].values["target"].strip()


def adversarial_type(record: PromptRecord) -> str:
    """The type of an adversarial probe as RWKU words it, such as "role play"; "" for any other record."""
    return record.source.partition(".json:")[2].partition("#")[2]


def _rejection(file: Path, target: str, faults: _rows.Faults) -> tuple[SftExample, ...]:
    examples = []
    for number, row in _rows.read(file, _REJECTION, faults, closed=False):
        _check_subject(file, number, row, target, faults)
        parts = (row["instruction"].strip(), row.get("input", "").strip())
        prompt = "\n".join(part for part in parts if part)
        examples.append(SftExample(prompt, row["output"].strip(), _source(file, number)))
    return tuple(examples)


def _training(file: Path, target: str, faults: _rows.Faults) -> tuple[PromptRecord, ...]:
    records = []
    for number, row in _rows.read(file, _TRAINING, faults, closed=False):
        solution = [item.strip() for item in row["solution"]]
        found, expected = _solution_fault(solution, target)
        if expected:
            faults.add(file, number, "solution", found, expected)
            continue
        prompt, source = row["prompt"].strip(), _source(file, number)
        if solution[0] == REJECT:
            answers = (solution[1],) if file.name.startswith(EVALUATION_PREFIX) else ()
            records.append(PromptRecord(prompt, "forget", target, target, answers, source))
        else:
            records.append(PromptRecord(prompt, "boundary", answers=_references(solution, target), source=source))
    return tuple(records)


def _solution_fault(solution: list[str], target: str) -> tuple[str, str]:
    """What is wrong with a solution, as (found, expected); two empty texts when nothing is."""
    tag = solution[0] if solution else ""
    if tag not in (REJECT, NORMAL):
        return _rows.shown(tag) if tag else "an empty list", f'"{REJECT}" or "{NORMAL}" as the first element'
    if tag == NORMAL and len(solution) < 2:
        return f"{len(solution)} element", f'"{NORMAL}" and at least one answer'
    if tag == REJECT and len(solution) not in (2, 3):
        return f"{len(solution)} elements", f'"{REJECT}", a refusal or answer, and the target'
    if tag == REJECT and len(solution) == 3 and not _same(solution[2], target):
        return _rows.shown(solution[2]), f"the target of intro.json, {target!r}, as the third element"
    return "", ""


def _references(solution: list[str], target: str) -> tuple[str, ...]:
    references = tuple(dict.fromkeys(solution[1:]))
    return tuple(reference for reference in references if not _same(reference, target)) or references


def _probes(file: Path, name: str, target: str, faults: _rows.Faults) -> tuple[PromptRecord, ...]:
    records = []
    for number, row in _rows.read(file, _PROBE_FIELDS[name], faults, closed=False):
        _check_subject(file, number, row, target, faults)
        prompt, answers, source = row["query"].strip(), (row["answer"].strip(),), _source(file, number)
        if "neighbor" in _PROBE_FIELDS[name]:
            records.append(PromptRecord(prompt, "boundary", "", row["neighbor"].strip(), answers, source))
        else:
            kind = f"#{row['type'].strip()}" if "type" in _PROBE_FIELDS[name] else ""
            records.append(PromptRecord(prompt, "forget", target, target, answers, source + kind))
    return tuple(records)


def _check_subject(file: Path, number: int, row: Mapping[str, Any], target: str, faults: _rows.Faults) -> None:
    if not _same(row["subject"], target):
        faults.add(file, number, "subject", _rows.shown(row["subject"]), f"the target of intro.json, {target!r}")


def _same(name: str, other: str) -> bool:
    """Names compared as they are read: an accent may be spelt as one code point or as two."""
    return unicodedata.normalize("NFC", name.strip()) == unicodedata.normalize("NFC", other.strip())


def _source(file: Path, number: int) -> str:
    return f"rwku/{file.absolute().parent.name}/{file.name}:{number}"
