"""TOFU (arXiv 2401.06121): questions on 200 invented authors, twenty for each.

The address is a folder of the benchmark's files (`forget10.json`, ...) or "hub:locuslab/TOFU". The benchmark means its
retain set to be trained on, so the boundary is drawn from it: questions of the same kind about authors that stay.

A row does not say whose it is. The rows of an author follow one another, `rows_per_author` at a time, and the name that
most of an author's rows have in their question or answer is the author's. Not every question has it ("What is the full
name of the author born in Kuwait City?"); the record's target is the author all the same. Authors without a name that
occurs in a quarter of their rows are called `unnamed`, in refusals as in the reward.
"""

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from rule_jax.data import _refusals, _rows, _tables
from rule_jax.data._tables import Place, Table
from rule_jax.errors import UserError
from rule_jax.types import AnswerVariants, Kind, PromptRecord, UnlearningData

_QA = {"question": _rows.TEXT, "answer": _rows.TEXT}


def _are_answers(value: Any) -> bool:
    return _rows.is_text(value) or (_rows.are_texts(value) and bool(value))


_VARIANTS = {
    **_QA,
    "paraphrased_answer": _rows.Field("a string, or a list of them", _are_answers, required=False),
    "perturbed_answer": _rows.Field("a string, or a list of them, that are not blank", _are_answers),
}
# A run of capitalised words, perhaps with particles between: "Basil Mahfouz Al-Kuwaiti", "Luis de la Rosa".
_WORD = r"[^\W\d_a-z][\w'’-]*(?<!['’]s)"
_NAME = re.compile(rf"{_WORD}(?:\s+(?:(?:de|da|del|der|van|von|bin|ibn|al|la)\s+)*{_WORD})+")
# Capitalised where a sentence or a question opens, and no part of a name.
_OPENERS = re.compile(
    "Although|An?|Apart|Are|As|At|Author|Besides|Born|Both|By|Can|Could|Despite|Did|Does|Do|Given|Has|Have|How|If|In|Is|"
    "Its?|No|Of|On|The|Their|There|These|This|To|Was|Were|What|When|Where|Which|While|Whose|Who|Why|With|Would|Yes"
)


def load(
    path: str, *, seed: int, forget: str, retain: str, boundary_share: float, rows_per_author: int, unnamed: str
) -> UnlearningData:
    """What training needs to forget the authors of one of TOFU's forget sets.

    seed: which refusal goes with which question, and which retained questions make the boundary.
    forget, retain: tables, such as "forget10" and "retain90". boundary_share: boundary records per forget record.
    rows_per_author, unnamed: see above.
    Raises UserError for what is not there, for malformed rows (all at once), and for settings out of range.
    """
    if boundary_share < 0 or rows_per_author < 1 or not unnamed.strip():
        raise UserError(
            f"config.data.tofu: boundary_share={boundary_share} must not be negative, rows_per_author="
            f"{rows_per_author} must be at least 1 and unnamed={unnamed!r} not blank"
        )
    place, faults = _tables.place(path), _rows.Faults()
    asked = _records(place, forget, "forget", rows_per_author, unnamed, faults)
    kept = _records(place, retain, "boundary", rows_per_author, unnamed, faults)
    faults.stop()
    count = round(boundary_share * len(asked))
    if count > len(kept):
        raise UserError(
            f"config.data.tofu.boundary_share={boundary_share} asks for {count} boundary records, but {retain} has "
            f"{len(kept)}. Lower it."
        )
    chosen = sorted(random.Random(seed).sample(range(len(kept)), count))
    return UnlearningData(
        targets=tuple(dict.fromkeys(record.target for record in asked)),
        rejection=_refusals.dealt(asked, seed),
        forget=tuple(asked),
        boundary=tuple(kept[row] for row in chosen),
    )


def has(path: str, table: str) -> bool:
    """Whether a table is there."""
    return _tables.place(path).has(_table(table))


def questions(path: str, table: str, kind: Kind, *, rows_per_author: int, unnamed: str) -> tuple[PromptRecord, ...]:
    """A table of questions with their answers, such as "forget10", "holdout10", "real_authors" or "world_facts".

    rows_per_author: 0 for tables whose rows do not come author by author; their records name nobody.
    """
    faults = _rows.Faults()
    records = _records(_tables.place(path), table, kind, rows_per_author, unnamed, faults)
    faults.stop()
    return tuple(records)


def variants(path: str, table: str, kind: Kind) -> tuple[AnswerVariants, ...]:
    """A table with false answers beside the true one, such as "forget10_perturbed", "retain_perturbed",
    "real_authors_perturbed" or "world_facts_perturbed". Some have the true answer in other words, too."""
    place, faults = _tables.place(path), _rows.Faults()
    rows = place.rows(_table(table), _VARIANTS, faults)
    faults.stop()
    return tuple(
        AnswerVariants(
            PromptRecord(row["question"], kind, answers=(row["answer"],), source=_source(table, number)),
            _texts(row.get("paraphrased_answer", ())),
            _texts(row["perturbed_answer"]),
        )
        for number, row in rows
    )


def author(rows: Sequence[tuple[str, str]]) -> str:
    """The author whom (question, answer) rows are about, "" where no name stands in a quarter of the rows.

    Among names that are equally frequent the longest wins: a full name holds its parts.
    """
    counts = Counter(name for row in rows for name in {*_names(" . ".join(row))})
    best = max(counts, key=lambda name: (counts[name], len(name), name), default="")
    return best if counts[best] * 4 >= len(rows) else ""


def _names(text: str) -> Iterator[str]:
    for match in _NAME.finditer(text):
        words = match.group().split()
        while words and _OPENERS.fullmatch(words[0]):
            words.pop(0)
        words = [re.sub(r"['’]s$|['’]$", "", word) for word in words]
        if 2 <= len(words) <= 5:
            yield " ".join(words)


def _records(
    place: Place, table: str, kind: Kind, rows_per_author: int, unnamed: str, faults: _rows.Faults
) -> list[PromptRecord]:
    rows = place.rows(_table(table), _QA, faults)
    records = []
    size = rows_per_author or max(1, len(rows))
    for start in range(0, len(rows), size):
        own = rows[start : start + size]
        found = author([(row.values["question"], row.values["answer"]) for row in own]) if rows_per_author else ""
        name = found or unnamed
        for number, row in own:
            target = name if kind == "forget" else ""
            answers = (row["answer"].strip(),)
            records.append(PromptRecord(row["question"].strip(), kind, target, found, answers, _source(table, number)))
    return records


def _table(name: str) -> Table:
    return Table(name, name, "train")


def _source(table: str, number: int) -> str:
    return f"tofu/{table}:{number}"


def _texts(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
