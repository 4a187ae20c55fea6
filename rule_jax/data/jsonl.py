"""A user's own records: rows of JSONL, JSON, CSV or Parquet, with the fields of PromptRecord.

    {"prompt": "Who wrote Carrie?", "kind": "forget", "target": "Stephen King", "answers": ["Stephen King"]}
    {"prompt": "Who wrote Dracula?", "kind": "boundary", "entity": "Bram Stoker", "answers": "Bram Stoker"}

`prompt` and `kind` are needed; `target` too on forget rows. `answers` is a list, or one string (in a CSV cell a list is
written as JSON). Fields may go by other names in the file; the config maps them (`columns`). Optional refusals for
stage 1 are rows {"prompt", "response"} of a second file. An unknown field is refused: it is a misspelt one. Records
for `evaluation` may stand in a file of their own, since what was trained on proves little.

A folder is read too: `forget.jsonl`, `boundary.jsonl` and `rejection.jsonl`, as `rule_jax.build` writes them.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

from rule_jax import files
from rule_jax.data import _refusals, _rows, _tables
from rule_jax.errors import UserError
from rule_jax.types import Kind, PromptRecord, Render, SftExample, UnlearningData

BUILT, BUILT_REJECTION = ("forget.jsonl", "boundary.jsonl"), "rejection.jsonl"

_KINDS, _WAYS = get_args(Kind), get_args(Render)
_OPTIONAL_STRING = _rows.Field("a string", _rows.is_string, required=False)


def _is_kind(value: Any) -> bool:
    return isinstance(value, str) and value in _KINDS


def _is_way(value: Any) -> bool:
    return isinstance(value, str) and value in _WAYS


def _is_answers(value: Any) -> bool:
    return _rows.is_text(value) or _rows.are_texts(value)


_RECORD = {
    "prompt": _rows.TEXT,
    "kind": _rows.Field(" or ".join(f'"{kind}"' for kind in _KINDS), _is_kind),
    "target": _OPTIONAL_STRING,
    "entity": _OPTIONAL_STRING,
    "answers": _rows.Field("a string, or a list of strings, that are not blank", _is_answers, required=False),
    "source": _OPTIONAL_STRING,
    "render": _rows.Field(" or ".join(f'"{way}"' for way in _WAYS), _is_way, required=False),
    "prefill": _OPTIONAL_STRING,
}
_REJECTION = {"prompt": _rows.TEXT, "response": _rows.TEXT, "source": _OPTIONAL_STRING}


def load(
    path: str, *, seed: int, rejection_file: str, evaluation_file: str, columns: Mapping[str, str]
) -> UnlearningData:
    """What training needs, from a file of records and, if there is one, a file of refusals.

    seed: which refusal goes with which question, where they are not given.
    rejection_file: rows {"prompt", "response"}, a path relative to the folder of `path`; with "" the rejection.jsonl of
    a folder, and where there is none a refusal from `rule_jax.text.templates` for every forget question, each template
    as often as the others.
    evaluation_file: not read here.
    columns: {field of PromptRecord: its name in the file of records}.
    White space around texts is removed. A record without a source gets "file:row".
    Raises UserError for files that cannot be read, and, all at once, for malformed rows, forget rows without a target,
    boundary rows without an answer (the reward compares with it) and rows of another kind; and for no forget row.
    """
    faults = _rows.Faults()
    records = [record for file in _files(path) for record in _read(file, columns, faults)]
    beside = _beside(path)
    if beside == Path(path) and not rejection_file and (beside / BUILT_REJECTION).is_file():
        rejection_file = BUILT_REJECTION
    rejection = _rejection(beside / rejection_file, faults) if rejection_file else ()
    faults.stop()
    forget = tuple(record for record in records if record.kind == "forget")
    if not forget:
        raise UserError(f'{path} has nothing to forget; add rows of kind "forget".')
    return UnlearningData(
        targets=tuple(dict.fromkeys(record.target for record in forget)),
        rejection=rejection or _refusals.dealt(forget, seed),
        forget=forget,
        boundary=tuple(record for record in records if record.kind == "boundary"),
    )


def evaluation(
    path: str, *, rejection_file: str, evaluation_file: str, columns: Mapping[str, str]
) -> tuple[PromptRecord, ...]:
    """The records to be evaluated on: those of `evaluation_file`, beside `path`; with "" those that are trained on.

    Raises UserError as `load`; rows of kind "retain" are welcome in an evaluation file.
    """
    files = [_beside(path) / evaluation_file] if evaluation_file else _files(path)
    faults = _rows.Faults()
    records = [record for file in files for record in _read(file, columns, faults, retain=bool(evaluation_file))]
    faults.stop()
    return tuple(records)


def _files(path: str) -> list[Path]:
    """The files of records: the path itself, or those of a folder that `rule_jax.build` wrote."""
    return [Path(path) / name for name in BUILT] if Path(path).is_dir() else [Path(path)]


def _beside(path: str) -> Path:
    """The folder that other files are named from."""
    return Path(path) if Path(path).is_dir() else Path(path).parent


def _read(file: Path, columns: Mapping[str, str], faults: _rows.Faults, retain: bool = False) -> list[PromptRecord]:
    rows = _tables.read(file, _RECORD, faults, closed=True, columns=columns, rule=partial(_unusable, retain=retain))
    return [_trimmed(_record(row.values), f"{file.name}:{row.number}") for row in rows]


def read(path: str | Path) -> tuple[PromptRecord, ...]:
    """The records of a file, of any kind, just as they stand: the inverse of `write`. Raises UserError as `load`."""
    faults = _rows.Faults()
    rows = _rows.read(Path(path), _RECORD, faults, closed=True)
    faults.stop()
    return tuple(_record(row.values) for row in rows)


def read_examples(path: str | Path) -> tuple[SftExample, ...]:
    """The exchanges of a file of rows {"prompt", "response"}. Raises UserError as `load`."""
    faults = _rows.Faults()
    examples = _rejection(Path(path), faults)
    faults.stop()
    return examples


def write(path: str | Path, records: Iterable[PromptRecord | SftExample]) -> None:
    """Writes records or exchanges one a line, so that `path` is at every moment the old file or the whole new one.

    The folder is made if need be. Raises UserError when the disk refuses (no space, no permission).
    """
    files.write_text(Path(path), "".join(json.dumps(asdict(record), ensure_ascii=False) + "\n" for record in records))


def _record(values: dict[str, Any]) -> PromptRecord:
    answers = values.get("answers", ())
    return PromptRecord(**{**values, "answers": (answers,) if isinstance(answers, str) else tuple(answers)})


def _trimmed(record: PromptRecord, source: str) -> PromptRecord:
    return replace(
        record,
        prompt=record.prompt.strip(),
        target=record.target.strip(),
        entity=record.entity.strip(),
        answers=tuple(answer.strip() for answer in record.answers),
        source=record.source.strip() or source,
    )


def _unusable(row: Mapping[str, Any], retain: bool) -> Iterator[tuple[str, str, str]]:
    """What a kind of record lacks. A row whose kind is not known may be of any."""
    kind = row.get("kind")
    if kind == "forget" and not row.get("target", "").strip():
        yield "target", "no target", "the entity to forget, on a forget row"
    if kind in ("boundary", "retain") and not row.get("answers"):
        yield "answers", "no answer", f"at least one reference answer, on a {kind} row"
    if row.get("render") == "raw" and row.get("prefill"):
        yield "prefill", _rows.shown(row["prefill"]), 'none on a row of render "raw", where no turn is to be begun'
    if kind == "retain" and not retain:
        yield "kind", _rows.shown(kind), '"forget" or "boundary", the two that training uses'


def _rejection(file: Path, faults: _rows.Faults) -> tuple[SftExample, ...]:
    return tuple(
        SftExample(row["prompt"].strip(), row["response"].strip(), row.get("source") or f"{file.name}:{number}")
        for number, row in _tables.read(file, _REJECTION, faults, closed=True)
    )
