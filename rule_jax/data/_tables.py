"""Tables of rows wherever they lie: files of a folder, or a data set of the Hugging Face hub.

An address is a folder ("RWKU/Target/1_Stephen_King"), or "hub:OWNER/NAME", or "hub:DIR" with a folder laid out as on
the hub (a README.md with `configs`, as `huggingface-cli download` leaves it). Where a data set covers many targets, the
one that is meant follows a "#": "hub:jinzhuoran/RWKU#Stephen King".

A file is JSON, JSONL (`_rows` reads these), CSV or TSV with a header, or Parquet. An empty cell of CSV and a null of
Parquet or of the hub are a field that is not there; a CSV cell that is a JSON list (`["a", "b"]`) is read as one.
"""

import csv
import functools
import io
import json
import os
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rule_jax.data import _rows
from rule_jax.data._rows import Faults, Field, Row, Rule
from rule_jax.errors import UserError, nearest

HUB = "hub:"
READ_AS = ("parquet", "json", "csv")  # of the library's readers, some of which unpack archives or run codecs
SEPARATORS = {".csv": ",", ".tsv": "\t"}
ENDINGS = (".json", *_rows.LINES, *SEPARATORS, ".parquet")


class Table(NamedTuple):
    """One table of a benchmark. file: its path in a folder, without its ending. config, split: its place on the hub."""

    file: str
    config: str
    split: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where tables are: a folder, or, where `hub` is not empty, a data set. subject: what stood behind the "#"."""

    folder: Path
    hub: str
    subject: str

    def rows(
        self, table: Table, fields: Mapping[str, Field], faults: Faults, *, rule: Rule = _rows.no_rule
    ) -> list[Row]:
        """The well-formed rows of a table; the others go to `faults`. On the hub, only those about the subject, if
        there is one. rule: what else a row must be. Raises UserError for a table that is not there or cannot be read.
        """
        if not self.hub:
            return read(self.path(table), fields, faults, closed=False, rule=rule)
        rows = [(number, _present(values)) for number, values in enumerate(_hub_rows(self.hub, table), start=1)]
        mine = [row for row in rows if not self.subject or same_name(row[1].get("subject", self.subject), self.subject)]
        return _rows.checked(self.path(table), mine, fields, faults, closed=False, rule=rule)

    def has(self, table: Table) -> bool:
        """Whether the table is there."""
        if self.hub:
            return table.split in _hub_splits(self.hub, table.config)
        return self.path(table).exists()

    def path(self, table: Table) -> Path:
        """The file of a table, whether or not it is there; on the hub, a name for it that messages and sources use."""
        if self.hub:
            return Path(f"{HUB}{self.hub}", f"{table.config}[{table.split}]")
        candidates = [self.folder / f"{table.file}{ending}" for ending in ENDINGS]
        return next((path for path in candidates if path.exists()), candidates[0])

    def own_file(self, name: str, setting: str) -> Path:
        """A file that is no table of the benchmark: in the folder; with the hub, which has none, wherever it lies.

        setting: the config key that names it, for the UserError that says so.
        """
        if not self.hub:
            return self.folder / name
        if not Path(name).is_file():
            raise UserError(
                f"{setting}={name!r} is no file, and {HUB}{self.hub} has the benchmark's own tables only. Set it to a "
                "file that RULE released or that you made."
            )
        return Path(name)

    def holds(self) -> str:
        """What is there, in words."""
        return ", ".join(_hub_configs(self.hub)) if self.hub else _rows.listing(self.folder)


def place(address: str) -> Place:
    """The place with that address. Raises UserError when there is no such folder; the hub is asked later."""
    if address.startswith(HUB):
        name, _, subject = address.removeprefix(HUB).partition("#")
        if not name:
            raise UserError(f"{address!r} names no data set; write {HUB}OWNER/NAME or {HUB}DIR.")
        return Place(Path(), name, subject.strip())
    try:
        return Place(_rows.folder(Path(address)), "", "")
    except UserError as error:
        hint = f" If it is a data set of the hub, write {HUB}{address}." if address.count("/") == 1 else ""
        raise UserError(f"{error}{hint}") from None


def same_name(name: str, other: str) -> bool:
    """True for names that are read alike: an accent may be spelt as one code point or as two."""
    return unicodedata.normalize("NFC", name.strip()) == unicodedata.normalize("NFC", other.strip())


def read(
    path: Path,
    fields: Mapping[str, Field],
    faults: Faults,
    *,
    closed: bool,
    columns: Mapping[str, str] | None = None,
    rule: Rule = _rows.no_rule,
) -> list[Row]:
    """The well-formed rows of a file of any kind, in order; as `_rows.read`.

    columns: {field: its name in the file}, for fields that go by another name there; messages use the file's names.
    rule: what else a row must be; it is given our names and gives them.
    A CSV row's number is its place below the header, from 1.
    """
    if path.suffix in SEPARATORS:
        parsed = _csv(path, faults)
    elif path.suffix == ".parquet":
        parsed = [(number, _present(row)) for number, row in enumerate(_parquet(path), start=1)]
    elif path.suffix in ENDINGS or path.is_dir():
        parsed = _rows.parse(path, faults)
    else:
        known = ", ".join(ENDINGS)
        raise UserError(f"{path} cannot be read: a name that ends in {known} is expected. Convert or rename it.")
    names = {field: (columns or {}).get(field, field) for field in fields}
    theirs = {names[field]: rule for field, rule in fields.items()}
    ours = {name: field for field, name in names.items()}

    def renamed(row: Mapping[str, Any]) -> dict[str, Any]:
        return {ours.get(name, name): value for name, value in row.items()}

    def their_rule(row: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
        return ((names.get(field, field), found, expected) for field, found, expected in rule(renamed(row)))

    rows = _rows.checked(path, parsed, theirs, faults, closed=closed, rule=their_rule)
    return [Row(row.number, renamed(row.values)) for row in rows]


def _present(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def _csv(path: Path, faults: Faults) -> list[tuple[int, Any]]:
    text = _rows.read_text(path)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=SEPARATORS[path.suffix], strict=True)
    rows: list[tuple[int, Any]] = []
    try:
        header = [name.strip() for name in next(reader, [])]
        if len(set(header)) < len(header):
            raise UserError(f"{path}: two columns have one name in {', '.join(header)}. Rename one.")
        for number, cells in enumerate((cells for cells in reader if cells), start=1):
            if len(cells) > len(header):
                faults.add(path, number, "", f"{len(cells)} cells", f"{len(header)}, as the header has")
            else:
                rows.append((number, {name: _cell(cell) for name, cell in zip(header, cells) if cell.strip()}))
    except csv.Error as error:
        raise UserError(f"{path} is not CSV at line {reader.line_num}: {error}. Mend it there.") from None
    if not rows and not faults.lines:
        raise _rows.no_rows(path)
    return rows


def _cell(cell: str) -> Any:
    if cell.startswith("["):
        try:
            value = json.loads(cell)
        except (ValueError, RecursionError):
            return cell
        return value if isinstance(value, list) else cell
    return cell


def _parquet(path: Path) -> list[dict[str, Any]]:
    import pyarrow  # only who has such files pays for it
    import pyarrow.parquet

    _rows.check_file(path)
    try:
        with path.open("rb") as file:
            rows = pyarrow.parquet.read_table(file).to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise UserError(f"{path} is not Parquet: {_first_line(error)}. Mend or replace it.") from None
    if not rows:
        raise _rows.no_rows(path)
    return rows


@functools.lru_cache(maxsize=8)
def _hub_rows(name: str, table: Table) -> list[dict[str, Any]]:
    """All rows of a table of the hub; what is downloaded lies in the Hugging Face cache.

    A folder is streamed: the library's cache knows it by its name and README alone, and would go on giving the rows
    that it first saw after the files were changed, or another folder of that name was meant.
    """
    import datasets  # two seconds, for those who use it

    splits = _hub_splits(name, table.config)
    if table.split not in splits:
        known = splits or _hub_configs(name)
        missing = f"split {table.split!r} of {table.config!r}" if splits else f"config {table.config!r}"
        hint = nearest(table.split if splits else table.config, known)
        raise UserError(f"{HUB}{name} has no {missing}; it has {', '.join(known)}.{hint}")
    try:
        with _quiet():
            _check_own(name, datasets.load_dataset_builder(name, table.config))
            streaming = Path(name).is_dir()
            found = datasets.load_dataset(name, table.config, split=table.split, streaming=streaming)
            rows = [dict(row) for row in found]
    except UserError:
        raise
    except Exception as error:  # what the library and its readers raise is not bounded
        raise _unreachable(name, error) from None
    if not rows:
        raise _rows.no_rows(Path(f"{HUB}{name}", f"{table.config}[{table.split}]"))
    return rows


def _check_own(name: str, builder: Any) -> None:
    """Raises UserError for a data set whose README.md names files that are not its own, or no tables."""
    kind = type(builder).__module__.rpartition(".")[2]
    if kind not in READ_AS:
        raise UserError(f"{HUB}{name} is read as {kind}; only {', '.join(READ_AS)} are read.")
    root = os.path.abspath(name) if Path(name).is_dir() else ""
    for file in (file for of_split in (builder.config.data_files or {}).values() for file in of_split):
        inside = os.path.abspath(file).startswith(root + os.sep) if root else file.startswith(f"hf://datasets/{name}@")
        if not inside:
            raise UserError(f"{HUB}{name} points outside its own folder, which is never followed: {file}")


@functools.lru_cache(maxsize=8)
def _hub_configs(name: str) -> tuple[str, ...]:
    import datasets

    try:
        with _quiet():
            return tuple(datasets.get_dataset_config_names(name))
    except Exception as error:
        raise _unreachable(name, error) from None


@functools.lru_cache(maxsize=64)
def _hub_splits(name: str, config: str) -> tuple[str, ...]:
    """The splits of a config; none where there is no such config."""
    import datasets

    if config not in _hub_configs(name):
        return ()
    try:
        with _quiet():
            return tuple(datasets.get_dataset_split_names(name, config))
    except Exception as error:
        raise _unreachable(name, error) from None


class _quiet:
    """No progress bars of `datasets` while it loads; they come back as they were."""

    def __enter__(self) -> None:
        import datasets

        self.shown = datasets.is_progress_bar_enabled()
        datasets.disable_progress_bars()

    def __exit__(self, *_: object) -> None:
        import datasets

        if self.shown:
            datasets.enable_progress_bars()


def _unreachable(name: str, error: Exception) -> UserError:
    return UserError(
        f"{HUB}{name} cannot be loaded ({type(error).__name__}: {_first_line(error)}). Check the name and the network; "
        f"with HF_HUB_OFFLINE=1 only what is in the cache can be read. A downloaded copy is read with {HUB}DIR."
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(". ") if lines else type(error).__name__
