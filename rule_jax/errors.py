"""The one error that a user's input may cause."""

import contextlib
import difflib
import errno
import re
import sys
from collections.abc import Iterable, Iterator

# What a disk may refuse at any moment.
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE)
# What breaks a line, steers a terminal, or is no character that UTF-8 can write.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class UserError(Exception):
    """Something that the user can mend. The text says what is wrong, where, and what to do; commands print it as one
    line and exit with code 2, before any long work has started. What it quotes may hold anything: see `printable`."""

    def __init__(self, text: str):
        super().__init__(printable(text))


def printable(text: str) -> str:
    """The text as one line that any terminal and any file accepts: a line break in it becomes \\n, an escape \\x1b."""
    return _UNPRINTABLE.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a misspelt name: " Did you mean 'x'?" or "" when nothing is close. Starts with a blank."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


@contextlib.contextmanager
def one_line(*others: type[Exception]) -> Iterator[None]:
    """Around a command: a UserError, what a disk refuses, or one of `others`, ends it with one line on stderr and exit
    code 2."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK:
            raise
        name = printable(str(error.filename or "a file"))
        print(f"error: {name} cannot be used: {error.strerror}. Mend that.", file=sys.stderr)
        sys.exit(2)
    except (UserError, *others) as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        sys.exit(2)
