"""Reading what a run left, for reports: JSON files whose objects are known to have the shape that reports rely on.

What else an object has is let pass. A file that is absent, no JSON or of another shape is a UserError that says where.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rule_jax import files
from rule_jax.errors import UserError
from rule_jax.files import Field

LARGEST = 1e300  # of a number: means and intervals of larger ones are none


Shape = Mapping[str, Field]  # null is absence


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < LARGEST)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _are_figures(value: Any) -> bool:
    return isinstance(value, dict) and all(x is None or _is_number(x) for x in value.values())


def _are_by_target(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_are_figures, value.values()))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value < LARGEST


TEXT, SOME_TEXT = Field("a text", _is_text), Field("a text", _is_text, required=False)
JUDGED = Field("an object of numbers", _are_figures, required=False)
ANSWER: Shape = {
    **dict.fromkeys(("task", "prompt", "text"), TEXT),
    **dict.fromkeys(("kind", "target", "entity"), SOME_TEXT),
    "answers": Field("a list of texts", _are_texts, required=False),
    "judged": JUDGED,
}
JUDGEMENT: Shape = {"task": TEXT, "judged": JUDGED}
SCORED: Shape = {**JUDGEMENT, "source": TEXT}
STEP: Shape = {
    "stage": TEXT,
    "step": Field("a count", _is_count),
    "tokens": Field("a number", lambda value: _is_number(value) and abs(value) < LARGEST, required=False),
}
TAUGHT: Shape = {"response": SOME_TEXT}
CLOCK: Shape = {"time_s": Field("an object of seconds", _are_figures)}
COUNTED: Shape = {"tokens": Field("a count", _is_count, required=False)}  # evaluate/notes.json
_NO_FIGURES = {  # of a row of figures
    "n": Field("a count", _is_count, required=False),
    "per_target": Field("an object of numbers for each target", _are_by_target, required=False),
    "reasons": Field("an object", lambda value: isinstance(value, dict), required=False),
}


def read(path: Path, shape: Shape | None = None) -> dict[str, Any]:
    """A file that holds one JSON object."""
    return _checked(_parsed(_text(path), str(path)), shape or {}, str(path))


def lines(path: Path, shape: Shape) -> list[dict[str, Any]]:
    """A file that holds a JSON object on every line that is not blank; without any it is as good as empty."""
    numbered = ((f"{path}:{number}", line) for number, line in enumerate(_text(path).split("\n"), start=1))
    return [_checked(_parsed(line, where), shape, where) for where, line in numbered if line.strip()]


def figures(path: Path) -> dict[str, dict[str, Any]]:
    """A file of figures, {task: {metric: number | null, "n": count, ...}}."""
    table = read(path)
    for task, row in table.items():
        where = f"{path}, {task}"
        if not isinstance(row, dict):
            raise _unlike(where, row, "an object of figures")
        _checked(row, _NO_FIGURES, where)
        if not _are_figures(only := {name: value for name, value in row.items() if name not in _NO_FIGURES}):
            raise _unlike(where, only, "an object of numbers")
    return table


def _checked(values: dict[str, Any], shape: Shape, where: str) -> dict[str, Any]:
    for name, field in shape.items():
        value = values.get(name)
        if value is None and field.required:
            raise UserError(f"{where}: {name!r} is missing (has {sorted(values)}). Run the stage that writes it again.")
        if value is not None and not field.accepts(value):
            raise _unlike(f"{where}, {name}", value, field.expected)
    return values


def _unlike(where: str, value: Any, expected: str) -> UserError:
    return UserError(f"{where}: found {repr(value)[:60]}, expected {expected}. Run the stage that writes it again.")


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not valid JSON ({error}). Run the stage that writes it again.") from None
    if not isinstance(value, dict):
        raise UserError(f"{where}: expected a JSON object, found {type(value).__name__}.")
    return value


def _text(path: Path) -> str:
    if not path.exists():
        raise UserError(f"{path}: the report needs this file. Run the stages before 'report' first.")
    return files.read_text(path)
