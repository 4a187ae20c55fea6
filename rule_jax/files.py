"""Files and folders that are written whole: a reader never sees half of one."""

import fcntl
import json
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rule_jax.errors import UserError


@dataclass(frozen=True, slots=True)
class Field:
    """What a field of a JSON object may hold: the words for it in a message, and whether a value is such a thing."""

    expected: str
    accepts: Callable[[Any], bool]
    required: bool = True


@contextmanager
def draft(path: Path) -> Iterator[IO[bytes]]:
    """A file to fill; when the block ends without an error, it becomes `path` by a rename. Makes its folder if need be.

    Until then only its owner may read it, and its name cannot be guessed: in a folder that others write to, none of
    them can put a link in its place. Raises UserError when the disk refuses (no space, no permission).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        try:
            with open(number, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            open_up(Path(name))
            os.replace(name, path)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}. Make room, or choose another place.") from None


def open_up(path: Path) -> None:
    """Gives what was made private the permissions of any other file or folder: those that the user's umask leaves."""
    umask = os.umask(0o077)  # it is asked by being set, and nothing is made more public meanwhile
    os.umask(umask)
    path.chmod((0o777 if path.is_dir() else 0o666) & ~umask)


def write_text(path: Path, text: str) -> None:
    """Writes `path` so that it is at every moment the old file or the whole new one. Raises UserError as `draft`."""
    content = text.encode("utf-8")
    with draft(path) as file:
        file.write(content)


def write_json(path: Path, content: Any) -> None:
    """`content` as JSON, one line per entry. Raises ValueError for NaN and infinity, UserError as `write_text`."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_text(path: Path) -> str:
    """What a text file holds, without its byte order mark. Raises UserError when it cannot be read or is not UTF-8."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        reason = f"byte {error.start} is not UTF-8 ({error.reason})"
        raise UserError(f"{path}: {reason}. Save the file as UTF-8.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}. Mend that and start again.") from None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises UserError naming the file when it is missing or holds something else."""
    if not path.is_file():
        beside = ", ".join(sorted(p.name for p in path.parent.iterdir())[:12]) if path.parent.is_dir() else "nothing"
        raise UserError(f"{path.parent} has no {path.name}; it has: {beside}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, a number too long, nested too deep
        raise UserError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a JSON {type(content).__name__}, expected an object")
    return content


def plain(config: Any) -> dict[str, Any]:
    """An `ml_collections.ConfigDict` as JSON gives it back, nested dicts and lists: what a run's config.json holds."""
    return json.loads(json.dumps(config.to_dict(), default=list))


LONGEST_NAME = 255  # bytes, on all common file systems


def is_name(text: str) -> bool:
    """Whether a text that came in a file can name a file of a folder, and nothing outside of it."""
    possible = text not in ("", ".", "..") and "\0" not in text and len(text.encode("utf-8", "replace")) <= LONGEST_NAME
    return possible and Path(text).name == text


LOCK = ".lock"  # the file by which a folder is in use
_DRAFT = re.compile(r"\..+\.(\w{8}|old|\w+\.tmp)")  # what `draft` and `whole_folder` fill before they rename it


@contextmanager
def in_use(folder: Path) -> Iterator[None]:
    """While the block lasts, no other process can have the folder, which is made if need be; not even on another host,
    where the file system knows locks. Raises UserError, naming who has it, when another one does, and when the folder
    cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a+", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}. Choose another place.") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            other = file.read().strip() or "another process"
            raise UserError(f"{folder} is in use by {other}; wait for it, or choose another place") from None
        except OSError:
            pass  # a file system without locks
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield


def is_unwritten(folder: Path) -> bool:
    """True where there is nothing, or a folder with no more in it than a process leaves that was killed at once: its
    lock and drafts."""
    if not folder.is_dir():
        return not folder.exists()
    return all(place.name == LOCK or _DRAFT.fullmatch(place.name) for place in folder.iterdir())


def sweep(folder: Path) -> None:
    """Removes, anywhere in a folder, the drafts of processes that were killed before they could rename them. Only for a
    folder that is `in_use`."""
    for place in [p for p in folder.rglob(".*") if _DRAFT.fullmatch(p.name)]:
        shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)


def clear(folder: Path, last: str) -> None:
    """Removes all that is in a folder but its lock; the file by which the folder is known goes last, so that a process
    that is killed meanwhile can be followed by another."""
    for place in sorted(folder.iterdir(), key=lambda place: place.name == last):
        if place.name != LOCK:
            shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink()


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A private folder to fill; when the block ends without an error, it becomes `path` by a rename.

    What was at `path` before is removed only afterwards. Raises UserError when the place cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        filled = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}. Choose another place.") from None
    old = path.with_name(f".{path.name}.old")
    try:
        yield filled
        open_up(filled)
        shutil.rmtree(old, ignore_errors=True)
        if path.exists():
            os.replace(path, old)
        os.replace(filled, path)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(filled, ignore_errors=True)
