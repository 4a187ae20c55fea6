"""How one input becomes another: as bytes, or, where a part of it is JSON, by a change that leaves it JSON."""

import json
import random
from collections.abc import Iterator, Sequence
from typing import Any, Callable

from tests.fuzz.targets import BETWEEN

ODD = [None, True, False, 0, -1, 1, 2**63, 10**400, 1e308, float("nan"), float("inf"), "", " ", "\0", "\n", "\ud800"]
ODD += ["é", "../../x", "/etc/passwd", "x" * 300, [], {}, [[]], [None], "null", "1", [1, 2]]
BYTES_ALONE = 0.3  # the share of inputs that are changed as bytes though they are JSON


class Mutator:
    """Changes the inputs of a target. The names and texts of its seeds are what it puts in other places."""

    def __init__(self, seeds: Sequence[bytes]):
        values = [value for seed in seeds for part in seed.split(BETWEEN) for _, value in _read(part)[0]]
        self.spare = [*ODD, *(value for found in values for _, _, value in _places([found]))]
        self.names = [value for value in self.spare if isinstance(value, str)]

    def __call__(self, content: bytes, size: int, number: int, by_bytes: Callable[[bytes, int], bytes]) -> bytes:
        """A changed input of at most `size` bytes, drawn by the number. by_bytes: changes bytes as such."""
        chance = random.Random(number)
        parts = content.split(BETWEEN)
        place = chance.randrange(len(parts))
        values, join = _read(parts[place])
        if not values or chance.random() < BYTES_ALONE:
            return bytes(by_bytes(content, size))
        whole = [value for _, value in values]
        for _ in range(chance.choice((1, 1, 2, 4))):
            self._change(whole, chance)
        parts[place] = join(json.dumps(value).encode() for value in whole)
        made = BETWEEN.join(parts)
        return made if len(made) <= size else bytes(by_bytes(content, size))

    def _change(self, whole: list[Any], chance: random.Random) -> None:
        """One change, in place, of a value anywhere within."""
        holder, key, value = chance.choice(list(_places(whole)) or [(whole, 0, None)])
        other = json.loads(json.dumps(chance.choice(self.spare)))
        match chance.randrange(6):
            case 0 if holder is not whole:
                del holder[key]
            case 1 if isinstance(value, dict):
                value[chance.choice(self.names)] = other
            case 1 if isinstance(value, list):
                value.insert(chance.randint(0, len(value)), other)
            case 2:
                holder[key] = [value]
            case 3 if isinstance(holder, list):
                holder.insert(key, json.loads(json.dumps(value)))
            case 4 if isinstance(value, str):
                at = chance.randint(0, len(value))
                holder[key] = value[:at] + str(other)[:20] + value[at:]
            case _:
                holder[key] = other


def _read(part: bytes) -> tuple[list[tuple[int, Any]], Callable[[Iterator[bytes]], bytes]]:
    """The JSON values of a part, whole or a line each, and how they are put together; none where it is no JSON."""
    for texts, join in (([part], b"".join), (part.splitlines(), b"\n".join)):
        try:
            return [(number, json.loads(text)) for number, text in enumerate(texts)], join
        except (ValueError, RecursionError):
            continue
    return [], b"".join


def _places(value: Any) -> Iterator[tuple[Any, Any, Any]]:
    """(what holds it, under which key, value) of everything within a list or an object."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield value, key, inner
        yield from _places(inner)
