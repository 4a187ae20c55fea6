"""Where records come from: one file a source, and here the way in, for one target or several."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, TypeVar

from rule_jax import plugin
from rule_jax.data._rows import gathering as gathering
from rule_jax.errors import UserError
from rule_jax.types import UnlearningData

T = TypeVar("T")


def load(source: str, paths: Sequence[str], *, seed: int, options: Mapping[str, Any]) -> UnlearningData:
    """The training data at all the paths of a source, as one set.

    options: the source's section of the config. Records of different paths are interleaved evenly, in the order of the
    paths, so that any stretch of them has each target in its share. Raises UserError as the source does, and for a
    path or a target that is named twice.
    """
    _check_distinct(paths, "path")
    module = plugin.load("data", source)
    parts = [module.load(path, seed=seed, **options) for path in paths]
    targets = list(chain.from_iterable(part.targets for part in parts))
    _check_distinct(targets, "target")
    return UnlearningData(
        targets=tuple(targets),
        rejection=interleave([part.rejection for part in parts]),
        forget=interleave([part.forget for part in parts]),
        boundary=interleave([part.boundary for part in parts]),
        retain=interleave([part.retain for part in parts]),
        corpus=any(part.corpus for part in parts),
    )


def interleave(parts: Sequence[Sequence[T]]) -> tuple[T, ...]:
    """All items, each sequence in its own order and spread evenly over the whole: a a b a a b for aaaa and bb."""
    placed = [
        ((place + 0.5) / len(part), number, item)
        for number, part in enumerate(parts)
        for place, item in enumerate(part)
    ]
    return tuple(item for _, _, item in sorted(placed, key=lambda entry: entry[:2]))


def _check_distinct(names: Iterable[str], what: str) -> None:
    seen = set()
    for name in names:
        if name in seen:
            raise UserError(f"the {what} {name!r} is given twice; each {what} is to be forgotten once")
        seen.add(name)
