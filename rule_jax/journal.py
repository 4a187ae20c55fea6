"""Files of JSON lines, each on the disk before anything follows from it: what was paid for, and what was made of it."""

import fcntl
import hashlib
import json
import os
from pathlib import Path
from typing import IO, Any

from rule_jax.errors import UserError


def key_of(question: Any) -> str:
    """A digest of anything that JSON can hold: the same for equal content, whatever the order of an object's keys."""
    plain = json.dumps(question, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()[:32]


class Journal:
    """Entries by key, in a file. `add` returns when the entry is on the disk, so a crash loses none that was added.

    An entry is a JSON object; a line is {"key": ..., **entry}. The last entry of a key counts. A last line that a
    crash has torn is dropped. One process may have a journal open at a time.
    Raises UserError for a file that another process has open, that cannot be written, or that holds other lines.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b")
        except OSError as error:
            raise _unwritable(path, error) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise UserError(f"{path} is in use by another process; wait for it, or choose another folder") from None
        except OSError:
            pass  # a file system without locks
        try:
            self._entries = self._read()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> dict[str, Any] | None:
        return self._entries.get(key)

    def entries(self) -> list[dict[str, Any]]:
        return list(self._entries.values())

    def add(self, key: str, entry: dict[str, Any]) -> None:
        line = json.dumps({"key": key, **entry}, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        _append(self.path, self._file, line)
        self._entries[key] = entry

    def _read(self) -> dict[str, dict[str, Any]]:
        self._file.seek(0)
        lines = self._file.read().split(b"\n")
        if lines[-1]:  # a crash in the middle of a write
            self._file.truncate(self._file.tell() - len(lines[-1]))
        entries = {}
        for number, line in enumerate(lines[:-1], start=1):
            try:
                entry = json.loads(line)
                entries[entry.pop("key")] = entry
            except (ValueError, AttributeError, KeyError, TypeError):
                raise UserError(
                    f"{self.path} line {number} is no entry of a journal; delete that line and start again"
                ) from None
        return entries


class Trail:
    """Rows that a process makes one by one, in an order that is always the same: a rerun goes on where one was stopped.

    `add` returns when the row is on the disk. Where an earlier process has written the same rows, in the same order,
    they stand; the first that differs takes the place of what follows. At the end of a `with` block, what was not
    written again is cut off; a block that is broken off leaves it. Raises UserError for a file that cannot be written.
    """

    def __init__(self, path: Path):
        self.path, self.rows = path, 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("r+b" if path.exists() else "w+b")
            lines = self._file.read().splitlines(keepends=True)
        except OSError as error:
            raise _unwritable(path, error) from None
        self._old = iter(lines)
        self._end = 0  # of what this process has added
        self._agrees = True

    def __enter__(self) -> "Trail":
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        if kind is None:
            self._file.truncate(self._end)
        self._file.close()

    def add(self, row: dict[str, Any]) -> None:
        line = json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        if self._agrees and next(self._old, None) != line:
            self._agrees = False
            self._file.truncate(self._end)
            self._file.seek(self._end)
        if not self._agrees:
            _append(self.path, self._file, line)
        self._end += len(line)
        self.rows += 1


def _append(path: Path, file: IO[bytes], line: bytes) -> None:
    try:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(f"{path} cannot be written: {error.strerror}. Make room, or choose another place.")
