"""Rooms that grow by one file: `load("algorithms", "grpo")` is the module `rule_jax.algorithms.grpo`."""

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from rule_jax.errors import UserError, nearest


def names(room: str) -> list[str]:
    """The names of the files in a room, sorted; names that start with an underscore are private to the room."""
    package = importlib.import_module(f"rule_jax.{room}")
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))


def load(room: str, name: str) -> ModuleType:
    """The module of that name in that room. Raises UserError, listing the room, when there is none."""
    known = names(room)
    if name not in known:
        raise UserError(f"{room} has no {name!r}; it has {', '.join(known)}.{nearest(name, known)}")
    return importlib.import_module(f"rule_jax.{room}.{name}")


def make(room: str, section: Mapping[str, Any]) -> Any:
    """What the file called section["name"] makes of the rest of a config's section; its make(**kw) is the schema.

    Raises UserError, naming them, when the section has other options than make takes: one file's options under another
    file's name.
    """
    options = dict(section)
    name = options.pop("name")
    make = load(room, name).make
    takes, has = set(inspect.signature(make).parameters), set(options)
    if takes != has:
        lacks, spare = (", ".join(sorted(some)) or "nothing" for some in (takes - has, has - takes))
        raise UserError(
            f"the options of {room}/{name} are {', '.join(sorted(takes))}; the config lacks {lacks} and has {spare} "
            "too much. A name is changed together with its options; the recipes in configs/ show them"
        )
    return make(**options)
