"""What a build has so far: rows that are on the disk as soon as they are accepted, before the audit has seen them."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from rule_jax import telemetry
from rule_jax.builder import Unusable
from rule_jax.journal import Trail
from rule_jax.types import PromptRecord

T = TypeVar("T")


class Draft:
    """draft/forget.jsonl, draft/boundary.jsonl and set_aside.jsonl of a folder, row by row (see `journal.Trail`).

    A build that is broken off says how far it came. The draft folder can be read and audited like a finished one.
    last: what was set aside last, None for nothing.
    """

    def __init__(self, folder: Path):
        self.folder = folder / "draft"
        self.aside_file = folder / "set_aside.jsonl"
        self.last: Unusable | None = None
        self._files = ExitStack()

    def __enter__(self) -> "Draft":
        self._rows = {
            kind: self._files.enter_context(Trail(self.folder / f"{kind}.jsonl")) for kind in ("forget", "boundary")
        }
        self._aside = self._files.enter_context(Trail(self.aside_file))
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: Any) -> None:
        self._files.__exit__(kind, *exc)
        if kind is not None and any(trail.rows for trail in self._rows.values()):
            counts = " and ".join(f"{trail.rows} {name}" for name, trail in self._rows.items())
            telemetry.info(f"so far {counts} rows, not audited yet, are in {self.folder}")

    def keep(self, record: PromptRecord) -> None:
        """Takes a forget or boundary row."""
        self._rows[record.kind].add(asdict(record))

    def kept(self, records: Iterable[PromptRecord]) -> list[PromptRecord]:
        """All of them, each on the disk before the next is asked for."""
        taken = []
        for record in records:
            self.keep(record)
            taken.append(record)
        return taken

    def usable(self, step: str, found: Iterable[T | Unusable]) -> Iterator[T]:
        """What can be used, as it comes; the rest is set aside, with the step that it failed."""
        for each in found:
            if isinstance(each, Unusable):
                self.set_aside(step, each)
            else:
                yield each

    def set_aside(self, step: str, unusable: Unusable) -> None:
        self.last = unusable
        self._aside.add({"step": step, **asdict(unusable)})
