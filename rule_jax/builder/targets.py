"""What a build's config names as targets, and the folder that each gets."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rule_jax.builder import Target
from rule_jax.errors import UserError
from rule_jax.text.overlap import normalize


def read(config: Any) -> list[Target]:
    """config.target, with its aliases and introduction, and config.more_targets; each knows of the others' names.

    Raises UserError for an empty or repeated name, and for a row of more_targets that is none.
    """
    if not config.target.strip():
        raise UserError("config.target is empty: whom or what to forget, e.g. --config.target='Stephen King'")
    rows = ({"name": config.target, "aliases": config.aliases, "intro": config.intro}, *config.more_targets)
    made = [_target({"name": row} if isinstance(row, str) else row) for row in rows]
    names = [normalize(target.name) for target in made]
    if len(set(names)) < len(names):
        raise UserError(f"a target is given twice: {', '.join(target.name for target in made)}")
    return [
        replace(
            target, others=tuple(name for other in made if other is not target for name in (other.name, *other.aliases))
        )
        for target in made
    ]


def _target(row: Any) -> Target:
    given = row if isinstance(row, Mapping) else {}
    name, aliases, intro = given.get("name", ""), given.get("aliases", ()), given.get("intro", "")
    texts = [name, intro, *aliases] if isinstance(aliases, list | tuple) else [None]
    if set(given) - {"name", "aliases", "intro"} or not all(isinstance(t, str) for t in texts) or not name.strip():
        raise UserError(f"config.more_targets has {row!r}: a name, or a dict of name, aliases (a list) and intro")
    return Target(_line(name), tuple(map(_line, aliases)), _line(intro))


def folders(targets: Sequence[Target]) -> list[str]:
    """Where each target's files go, below the workdir: in it, for one; else in "1_stephen_king", "2_confucius"."""
    if len(targets) == 1:
        return [""]
    slugs = [re.sub(r"\W+", "_", normalize(target.name)) for target in targets]
    return [f"{number}_{slug}" for number, slug in enumerate(slugs, start=1)]


def _line(text: str) -> str:
    return " ".join(text.split())
