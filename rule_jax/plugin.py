"""Rooms that grow by one file: `load("algorithms", "grpo")` is the module `rule_jax.algorithms.grpo`."""

import importlib
import pkgutil
from types import ModuleType

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
