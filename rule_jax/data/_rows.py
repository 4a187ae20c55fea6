"""Rows out of JSON files, checked against a small schema; all that is wrong with them is told at once.

A `.json` file holds one array of objects, a `.jsonl` (`.ndjson`) file one object a line, as a `.json` file may too; all
are UTF-8, with a byte order mark or without. What spoils a whole file (absent, not UTF-8, not JSON, no array, no rows)
raises at once. What spoils single rows is collected in `Faults` by as many readers and checks as the caller likes, and
raised by `stop`.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from rule_jax import files
from rule_jax.errors import UserError, nearest
from rule_jax.files import Field

LINES = (".jsonl", ".ndjson")
LISTED_FAULTS = 20
LISTED_NAMES = 40
SHOWN_CHARACTERS = 60


# What else a row must be, beyond what each field holds: the well-formed fields of a row -> (field, what was found, what
# was expected) of each fault. A field that is malformed is not among them, so that a row's other faults are still told.
Rule = Callable[[Mapping[str, Any]], Iterable[tuple[str, str, str]]]


def no_rule(fields: Mapping[str, Any]) -> tuple[()]:
    return ()


class Row(NamedTuple):
    """A row and its number from 1: the position in the array, or the line of the file."""

    number: int
    values: dict[str, Any]


def is_string(value: Any) -> bool:
    """A string that UTF-8 can write down: JSON can spell half a surrogate pair, which no file or tokenizer accepts."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def is_text(value: Any) -> bool:
    """A string with something in it besides white space."""
    return is_string(value) and bool(value.strip())


def are_texts(value: Any) -> bool:
    """A list, possibly empty, of strings that are not blank."""
    return isinstance(value, list) and all(is_text(item) for item in value)


STRING = Field("a string", is_string)
TEXT = Field("a string that is not blank", is_text)
TEXTS = Field("a list of strings that are not blank", are_texts)


@dataclass(slots=True)
class Faults:
    """The malformed rows found so far, over any number of files.

    lines: (place of the file, row, message), in the order in which they were found.
    """

    files: dict[Path, int] = field(default_factory=dict)
    lines: list[tuple[int, int, str]] = field(default_factory=list)

    def add(self, path: Path, number: int, name: str, found: str, expected: str) -> None:
        """Notes a fault. name: the field, "" for the row as a whole. found: in words, as `shown` gives them."""
        place = self.files.setdefault(path, len(self.files))
        where = f"{path.name} row {number}" + (f", field {name!r}" if name else "")
        self.lines.append((place, number, f"{where}: found {found}, expected {expected}"))

    def stop(self) -> None:
        """Raises UserError if there is any fault: all are counted, the first 20 told, in the order of the rows. Within
        `gathering` they are handed on instead, and the caller goes on with the sound rows."""
        if not self.lines:
            return
        if (gathered := _gathered.get()) not in (None, self):
            gathered.take(self)
            return
        lines = list(dict.fromkeys(self.lines))  # a file that was read twice has each fault twice
        count = len(lines)
        told = "; ".join(text for _, _, text in sorted(lines, key=lambda line: line[:2])[:LISTED_FAULTS])
        more = f"; and {count - LISTED_FAULTS} more" if count > LISTED_FAULTS else ""
        folders = dict.fromkeys(str(path.parent) for path in self.files)
        fault = "1 malformed row" if count == 1 else f"{count} faults in the rows"
        raise UserError(f"{fault} of {', '.join(folders)}: {told}{more}. Mend what is named and start again.")

    def take(self, others: "Faults") -> None:
        """Notes the faults of others too."""
        places = [self.files.setdefault(path, len(self.files)) for path in others.files]
        self.lines += [(places[place], number, text) for place, number, text in others.lines]


_gathered: ContextVar[Faults | None] = ContextVar("gathered", default=None)


@contextmanager
def gathering() -> Iterator[None]:
    """Raises UserError at the end of the block for all malformed rows that were read in it, by however many readers of
    however many sources: who has mended one file is not told of the next one only then."""
    faults = Faults()
    token = _gathered.set(faults)
    try:
        yield
    except Exception:
        faults.stop()  # what stopped the work may be that rows were missing, and the rows are what is to be mended
        raise
    finally:
        _gathered.reset(token)
    faults.stop()


def read(path: Path, fields: Mapping[str, Field], faults: Faults, *, closed: bool) -> list[Row]:
    """The well-formed rows of a file, in order; the malformed ones go to `faults`.

    fields: what each field must hold. closed: a field that is not in `fields` is a fault too (for a user's own files,
    where it is a misspelling); otherwise it is let pass (for benchmarks, whose rows carry more than is needed).
    Raises UserError for a file that is absent, unreadable, of another type, not UTF-8, not JSON or without rows.
    """
    return checked(path, parse(path, faults), fields, faults, closed=closed)


def parse(path: Path, faults: Faults) -> list[tuple[int, Any]]:
    """(number, JSON value) of each row of a JSON or JSONL file, unchecked. Raises UserError as `read`."""
    if path.suffix != ".json" and path.suffix not in LINES:
        known = ", ".join((".json", *LINES))
        raise UserError(f"{path} cannot be read: a name that ends in {known} is expected. Convert or rename it.")
    text = read_text(path)
    return _parse_lines(path, text, faults) if path.suffix in LINES else _parse_array(path, text, faults)


def checked(
    path: Path,
    parsed: Iterable[tuple[int, Any]],
    fields: Mapping[str, Field],
    faults: Faults,
    *,
    closed: bool,
    rule: Rule = no_rule,
) -> list[Row]:
    """Those of the rows that hold what `fields` and the rule say; all that is wrong with the others goes to `faults`: a
    fault for each field."""
    rows = []
    for number, values in parsed:
        found = list(_field_faults(values, fields, closed))
        if isinstance(values, dict):
            at_fault = {name for name, _, _ in found}
            sound = {name: value for name, value in values.items() if name not in at_fault}
            found += [fault for fault in rule(sound) if fault[0] not in at_fault]
        for fault in found:
            faults.add(path, number, *fault)
        if not found:
            rows.append(Row(number, values))
    return rows


def folder(path: Path) -> Path:
    """The same path, once it is known to be a folder. Raises UserError, showing what is there instead."""
    if path.is_file():
        raise UserError(f"{path} is a file; a folder is needed here, perhaps {path.parent}.")
    if not path.is_dir():
        raise _absent(path, "folder")
    return path


def listing(path: Path) -> str:
    """What a folder has, in words: its names, sorted, the first 40 of them."""
    names = _names(path)
    more = f" and {len(names) - LISTED_NAMES} more" if len(names) > LISTED_NAMES else ""
    return ", ".join(names[:LISTED_NAMES]) + more if names else "nothing"


def shown(value: Any) -> str:
    """A JSON value in a few words: texts and numbers cut at 60 characters, containers by what they hold."""
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return f"an object with {_some(value)}" if value else "an empty object"
    text = json.dumps(value, ensure_ascii=False, default=repr)  # Parquet has dates, bytes and more
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."


def _field_faults(values: Any, fields: Mapping[str, Field], closed: bool) -> Iterator[tuple[str, str, str]]:
    if not isinstance(values, dict):
        yield "", shown(values), f"an object with {_some(fields)}"
        return
    for name, rule in fields.items():
        if name in values and not rule.accepts(values[name]):
            yield name, shown(values[name]), rule.expected
        elif name not in values and rule.required:
            yield name, f"no such field in {shown(values)}", rule.expected
    for name in values if closed else ():
        if name not in fields:
            yield name, "an unknown field", f"{_some(fields)} only.{nearest(name, fields)}"


def check_file(path: Path) -> None:
    """Raises UserError, showing what is there instead, unless the path is a file."""
    if path.is_dir():
        raise UserError(f"{path} is a folder; a file is needed here. It has {listing(path)}.")
    if not path.exists():
        raise _absent(path, "file")


def read_text(path: Path) -> str:
    """What a text file holds, without its byte order mark. Raises UserError when it is absent or not UTF-8."""
    check_file(path)
    return files.read_text(path)


def _parse_array(path: Path, text: str, faults: Faults) -> list[tuple[int, Any]]:
    if not text.strip():
        raise no_rows(path)
    try:
        value = _json(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and text.lstrip().startswith("{"):
            return _parse_lines(path, text, faults)  # one object a line, under the name of an array: TOFU's files
        where = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise UserError(f"{path} is not JSON at {where}. Mend it there.") from None
    except ValueError as error:
        raise UserError(f"{path} is JSON that cannot be read: {error}. Mend or replace it.") from None
    if not isinstance(value, list):
        raise UserError(f"{path} holds {shown(value)} where an array of rows, [{{...}}, ...], is expected.")
    if not value:
        raise no_rows(path)
    return list(enumerate(value, start=1))


def _parse_lines(path: Path, text: str, faults: Faults) -> list[tuple[int, Any]]:
    # Not splitlines(): that also splits at U+2028 and its like, which a JSON string may hold as they are.
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not lines:
        raise no_rows(path)
    rows = []
    for number, line in lines:
        try:
            rows.append((number, _json(line)))
        except json.JSONDecodeError as error:
            faults.add(path, number, "", f"no JSON at column {error.colno} ({error.msg})", "one object a line")
        except ValueError as error:
            faults.add(path, number, "", f"JSON that cannot be read ({error})", "one object a line")
    return rows


def _json(text: str) -> Any:
    """json.loads, with ValueError as its only way to fail (a number of thousands of digits is one already)."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def no_rows(path: Path) -> UserError:
    """The error of a file, or table, that is empty."""
    return UserError(f"{path} is empty: it has no rows. Fill it, or name another file.")


def _absent(path: Path, what: str) -> UserError:
    there = next((parent for parent in path.parents if parent.is_dir()), Path())
    missing = path.relative_to(there).parts[0] if there in path.parents else path.name
    hint = nearest(missing, _names(there))
    return UserError(f"There is no {what} {path}; {there} has {listing(there)}. Correct the path.{hint}")


def _names(path: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in path.iterdir())
    except OSError:
        return []


def _some(names: Mapping[str, Any]) -> str:
    return ", ".join(list(names)[:8]) + (", ..." if len(names) > 8 else "")
