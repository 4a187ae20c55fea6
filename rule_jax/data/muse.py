"""MUSE (arXiv 2407.06460), Books and News, with the training file that RULE (arXiv 2506.07171) made for Books.

The address is a folder with the benchmark's own layout (`knowmem/forget_qa.json`, `privleak/forget.json`, ...), or
"hub:muse-bench/MUSE-Books" or "hub:muse-bench/MUSE-News"; both have the same tables.

What is to be forgotten is a whole corpus, so one name stands for it: `target`, "Harry Potter" for Books. The questions
to train on are not those of KnowMem, which are its test, but RULE's `reject_with_neighbor_target.qa_only.json`: each
row has a question about the books with its answer, and the same question about somebody else (`neighbor_question`) with
an answer. The refusals in that file say "Harry Porter"; ours are used instead, which name the target as it is spelt.
Rows of `mode` "completion" are text to be continued and are rendered as any other prompt.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from rule_jax.data import _refusals, _rows, _tables
from rule_jax.data._tables import Place, Table
from rule_jax.errors import UserError
from rule_jax.types import Kind, Passage, PromptRecord, UnlearningData

KNOWMEM = ("forget", "retain")
PRIVLEAK = ("forget", "retain", "holdout")
PARTS = {  # what the evaluation asks for; a part of KnowMem is two tables
    **{f"knowmem_{side}": Table(f"knowmem/{side}_qa", "knowmem", f"{side}_qa") for side in KNOWMEM},
    "verbmem": Table("verbmem/forget", "verbmem", "forget"),
    **{f"privleak_{side}": Table(f"privleak/{side}", "privleak", side) for side in PRIVLEAK},
}

_QA = {"question": _rows.TEXT, "answer": _rows.TEXT}
_CONTINUED = {"prompt": _rows.TEXT, "gt": _rows.TEXT}
_MODES = ("qa", "completion")


def _is_neighbor(value: Any) -> bool:
    return isinstance(value, dict) and _rows.is_text(value.get("question")) and _rows.is_text(value.get("answer"))


_TRAINING = {
    "instruction": _rows.TEXT,
    "org_answer": _rows.Field("a string that is not blank", _rows.is_text, required=False),
    "neighbor_question": _rows.Field("{question, answer} of texts that are not blank", _is_neighbor, required=False),
    "mode": _rows.Field(" or ".join(_MODES), lambda value: value in _MODES, required=False),
}


def load(path: str, *, seed: int, target: str, training_file: str) -> UnlearningData:
    """What training needs to forget the corpus.

    seed: which refusal goes with which question. target: the name that refusals give to what is forgotten.
    training_file: rows {instruction, org_answer, neighbor_question, mode}, in the folder or, with the hub, anywhere.
    Raises UserError for what is not there, for malformed rows (all at once), and for an empty target.
    """
    if not target.strip():
        raise UserError('config.data.muse.target is empty: name what is to be forgotten, "Harry Potter" for Books')
    place, faults = _tables.place(path), _rows.Faults()
    file = place.own_file(training_file, "config.data.muse.training_file")
    forget, boundary = [], []
    for number, row in _tables.read(file, _TRAINING, faults, closed=False):
        source = f"muse/{file.name}:{number}"
        answers = (row["org_answer"].strip(),) if "org_answer" in row else ()
        forget.append(PromptRecord(row["instruction"].strip(), "forget", target, target, answers, source))
        if "neighbor_question" in row:
            near = row["neighbor_question"]
            boundary.append(
                PromptRecord(near["question"].strip(), "boundary", answers=(near["answer"].strip(),), source=source)
            )
    faults.stop()
    return UnlearningData((target,), _refusals.dealt(forget, seed), tuple(forget), tuple(boundary), corpus=True)


def has(path: str, part: str) -> bool:
    """Whether one of PARTS is there."""
    return _tables.place(path).has(PARTS[part])


def knowmem(path: str, side: str, *, target: str = "") -> tuple[tuple[PromptRecord, ...], tuple[PromptRecord, ...]]:
    """(questions, solved examples that are put before them) of "forget" or "retain".

    Both sides are about the corpus (retain: what may be known of it), so records of "forget" name the target.
    """
    place = _tables.place(path)
    kind: Kind = "forget" if side == "forget" else "retain"
    made = []
    for ending in ("qa", "qa_icl"):
        table = Table(f"knowmem/{side}_{ending}", "knowmem", f"{side}_{ending}")
        rows = _read(place, table, _QA)
        made.append(
            tuple(
                PromptRecord(row["question"], kind, target if kind == "forget" else "", "", (row["answer"],), source)
                for row, source in rows
            )
        )
    return made[0], made[1]


def verbmem(path: str, *, target: str = "") -> tuple[PromptRecord, ...]:
    """Openings of passages that are to be forgotten, to be continued as raw text; the answer is the true continuation
    (`gt`)."""
    rows = _read(_tables.place(path), Table("verbmem/forget", "verbmem", "forget"), _CONTINUED)
    return tuple(PromptRecord(row["prompt"], "forget", target, target, (row["gt"],), source) for row, source in rows)


def privleak(path: str, side: str) -> tuple[Passage, ...]:
    """Passages of "forget" (seen in training, to be forgotten), "retain" (seen) or "holdout" (never seen).

    Rows are {text}, as on the hub, or {prompt, gt}, whose text is both, one after the other.
    """
    place, table = _tables.place(path), Table(f"privleak/{side}", "privleak", side)
    optional = _rows.Field("a string that is not blank", _rows.is_text, required=False)
    made = []
    faults = _rows.Faults()
    for number, row in place.rows(table, {"text": optional, "prompt": optional, "gt": optional}, faults, rule=_whole):
        made.append(
            Passage(row.get("text") or row.get("prompt", "") + row.get("gt", ""), _source(place, table, number))
        )
    faults.stop()
    return tuple(made)


def raw(path: str, split: str, *, part: str = "raw") -> tuple[Passage, ...]:
    """The corpus itself: part "raw" or "train" (forget, retain1, retain2, holdout), "scal" or "sust" (forget_1 to
    forget_4: forget sets that grow, and requests that follow one another)."""
    rows = _read(_tables.place(path), Table(f"{part}/{split}", part, split), {"text": _rows.TEXT})
    return tuple(Passage(row["text"], source) for row, source in rows)


def _whole(row: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    if "text" not in row and not {"prompt", "gt"} <= row.keys():
        yield "text", f"no such field in {_rows.shown(row)}", "text, or prompt and gt"


def _read(place: Place, table: Table, fields: dict[str, _rows.Field]) -> list[tuple[dict[str, Any], str]]:
    faults = _rows.Faults()
    rows = place.rows(table, fields, faults)
    faults.stop()
    return [(row.values, _source(place, table, row.number)) for row in rows]


def _source(place: Place, table: Table, number: int) -> str:
    return f"muse/{place.path(table).name}:{number}"
