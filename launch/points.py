"""The points of a sweep: which settings it tries, under which names, and where each has its place.

A sweep file has `get_sweep(config) -> overrides`: from the base config a list of {dotted key: value}, made by hand or
by `grid`, `zipped`, `randomly` and `product`. Two keys are no settings: "config" names the config file that a point
starts from, in place of the base, and "label" what the point is called.
"""

import ast
import contextlib
import dataclasses
import hashlib
import itertools
import json
import re
import runpy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable

import numpy as np
from ml_collections import ConfigDict

from rule_jax import files
from rule_jax.errors import UserError, nearest
from rule_jax.reporting.data import flat

Override = Mapping[str, Any]
NO_SETTINGS = ("config", "label")
UNHASHED = ("watch", "report")  # where numbers go beside the run, and what a request is called: no figure depends on it


def grid(choices: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination of the choices; the last key varies fastest."""
    return [dict(zip(choices, values)) for values in itertools.product(*choices.values())]


def zipped(choices: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """The first choice of every key together, then the second ones, and so on. Raises UserError for unequal lengths."""
    lengths = {key: len(values) for key, values in choices.items()}
    if len(set(lengths.values())) > 1:
        raise UserError(f"zipped: the lists must be equally long; they have {lengths}")
    return [dict(zip(choices, values)) for values in zip(*choices.values())]


def randomly(draws: Mapping[str, Callable[[np.random.Generator], Any]], count: int, seed: int) -> list[dict[str, Any]]:
    """`count` points, each key's value drawn by its function from a generator that the seed starts: the same points
    every time, and with a larger count the same ones first."""
    rngs = [np.random.default_rng([seed, number]) for number in range(count)]
    return [{key: draw(rng) for key, draw in draws.items()} for rng in rngs]


def product(*parts: Sequence[Override]) -> list[dict[str, Any]]:
    """Every point of the first with every one of the second, and so on; where both have a key, the later one counts."""
    return [{k: v for part in parts_ for k, v in part.items()} for parts_ in itertools.product(*parts)]


@dataclasses.dataclass(frozen=True)
class Point:
    """One run of a sweep. config: its config file. overrides: settings by dotted key. settings: all of them, as its run
    writes them to config.json. label: what it is called, without its seed."""

    config: str
    overrides: Override
    settings: Mapping[str, Any]
    label: str

    @property
    def seed(self) -> int:
        return self.settings["seed"]

    @property
    def digest(self) -> str:
        """Of all settings that a figure may depend on."""
        kept = {key: value for key, value in self.settings.items() if key not in UNHASHED}
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def name(self) -> str:
        """LABEL/seed0-DIGEST: its place below the sweep's folder. Points that differ in their seed are neighbours."""
        return f"{self.label}/seed{self.seed}-{self.digest}"

    def arguments(self, workdir: Path) -> list[str]:
        """What the main command takes, its name left out."""
        own = [f"--config.{key}={value}" for key, value in self.overrides.items()]
        return [f"--config={self.config}", *own, f"--workdir={workdir}"]


def settings_of(arguments: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """({key: value} of --config.KEY=VALUE, the other arguments). Raises UserError for what is no option."""
    common: dict[str, Any] = {}
    rest = []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not key.startswith("--"):
            raise UserError(f"unexpected argument {argument!r}; options are written --name=value")
        if key.startswith("--config.") and equals:
            common[key.removeprefix("--config.")] = _literal(value)
        else:
            rest.append(argument)
    return common, rest


def read(config_file: str, sweep_file: str, common: Override | None = None) -> list[Point]:
    """The points of a sweep file, in its order, each once. common: settings of all points, below what the sweep sets.

    Raises UserError for what cannot be run, naming it.
    """
    make = function(sweep_file, "get_sweep")
    return resolve(config_file, make(load(config_file)), sweep_file, common)


def resolve(
    config_file: str, overrides: Sequence[Override], sweep_file: str, common: Override | None = None
) -> list[Point]:
    """The points of overrides. common: settings of all, below those, which no point is called by.

    Raises UserError for an unknown key, a value of the wrong kind, and no points.
    """
    if not isinstance(overrides, Sequence) or not overrides:
        raise UserError(f"{sweep_file} has no points")
    points: dict[str, Point] = {}
    for number, override in enumerate(overrides):
        where = f"{sweep_file}: point {number}"
        if not isinstance(override, Mapping) or not all(isinstance(key, str) for key in override):
            raise UserError(f"{where} is {repr(override)[:60]}, no dict from dotted keys to values")
        file = str(override.get("config", config_file))
        own = {**(common or {}), **{key: value for key, value in override.items() if key not in NO_SETTINGS}}
        settings = _applied(load(file), own, where)
        point = Point(file, own, settings, _label(override, config_file))
        points.setdefault(point.name, point)
    return list(points.values())


def load(config_file: str) -> ConfigDict:
    """The config of a file, locked, as the main command has it. Raises UserError for a file that is none."""
    return function(config_file, "get_config")().lock()


def function(file: str, name: str, *, optional: bool = False) -> Any:
    """A function of a Python file, by path. Raises UserError when there is none, unless it is optional (None)."""
    path = Path(file)
    if not path.is_file():
        beside = sorted(str(p) for p in path.parent.glob("*.py")) if path.parent.is_dir() else []
        raise UserError(f"{file} does not exist.{nearest(file, beside)}")
    try:
        found = runpy.run_path(file)
    except Exception as error:  # a file of the user's is a program: anything may come out of it
        raise UserError(f"{file} cannot be read: {type(error).__name__}: {error}") from None
    if name not in found and not optional:
        raise UserError(f"{file} has no function {name}")
    return found.get(name)


def _applied(config: ConfigDict, own: Override, where: str) -> dict[str, Any]:
    known = [key for key, _ in flat(files.plain(config))]
    for key, value in own.items():
        if key not in known:
            raise UserError(f"{where} sets {key!r}, which the config has not.{nearest(key, known)}")
        try:
            config.update_from_flattened_dict({key: value})
        except (TypeError, ValueError) as error:
            raise UserError(f"{where} sets {key}={value!r}: {error}") from None
    return files.plain(config)


def assigned(texts: Sequence[str], flag: str) -> dict[str, Any]:
    """{name: value} of texts like "time=60". Raises UserError for one that is not."""
    pairs = [text.partition("=") for text in texts]
    wrong = [name for name, equals, value in pairs if not (name and equals and value)]
    if wrong:
        raise UserError(f"{flag}: {wrong[0]!r} has no value; write name=value")
    return {name: _literal(value) for name, _, value in pairs}


def _literal(text: str) -> Any:
    with contextlib.suppress(ValueError, SyntaxError):
        return ast.literal_eval(text)
    return text


def called(name: str, values: Mapping[str, Any]) -> str:
    """What a point is called by its settings: "grpo,boundary_share=4.0"."""
    return ",".join([name, *(f"{key.rpartition('.')[2]}={value}" for key, value in values.items())])


def _label(override: Override, config_file: str) -> str:
    """The point's own label, or what it sets, without the seed."""
    stem = Path(override.get("config", config_file)).stem
    varied = {key: value for key, value in override.items() if key not in (*NO_SETTINGS, "seed")}
    label = str(override.get("label", called(stem, varied)))
    return re.sub(r"[^\w.,=+-]+", "_", label).strip("._") or "point"
