"""What runs of one beginning need not do twice: a run takes from another what both would make alike.

Every stage is a function of the config, so a copy has the bytes that the run would have made itself.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rule_jax import files

# Sections that neither the data nor the base model's evaluation depend on; "stages" says which of the others are read.
LATER = (
    "stages",
    "rejection_steering",
    "boundary_optimization",
    "baseline",
    "algorithm",
    "reward",
    "naturalness",
    "watch",
    "report",
)
DOSAGE = ("temperature", "max_new_tokens", "max_prompt_tokens")  # of stage 2, by which stage 1 counts its refusals
STEERING = "rejection_steering"

Settings = Mapping[str, Any]


def same_base(one: Settings, other: Settings) -> bool:
    """Whether two runs have the same data, and ask their base model the same."""
    names = {*one, *other} - {*LATER}
    return all(one.get(name) == other.get(name) for name in names)


def same_steering(one: Settings, other: Settings) -> bool:
    """Whether the first stage of training is Rejection Steering in both, and leaves the same."""

    def begins(settings: Settings) -> list[Any]:
        trained = [stage for stage in settings["stages"] if stage not in ("prepare_data",)][:1]
        return [trained, settings[STEERING], [settings["boundary_optimization"][name] for name in DOSAGE]]

    return same_base(one, other) and begins(one) == begins(other) and begins(one)[0] == [STEERING]


def give(source: Path, place: Path, settings: Settings) -> list[str]:
    """Begins the run of `settings` at `place` with what the one at `source` has done, as far as both would do the same;
    returns what that is. config.json, written last, makes it a run; nothing is done where there is one already."""
    theirs = source / "config.json"
    if (place / "config.json").exists() or not theirs.exists():
        return []
    other = files.read_json(theirs)
    if not same_base(settings, other) or not (source / "done" / "prepare_data.json").exists():
        return []
    shutil.rmtree(place, ignore_errors=True)  # half a copy, of a sweep that was killed
    given, done = ["data"], ["prepare_data"]
    given += [name for name in ("evaluate/base", "robustness/base") if (source / name / "metrics.json").exists()]
    if same_steering(settings, other) and (source / "done" / f"{STEERING}.json").exists():
        given.append(STEERING)
        done.append(STEERING)
        given += [name for name in (f"evaluate/{STEERING}",) if (source / name / "metrics.json").exists()]
    for name in given:
        shutil.copytree(source / name, place / name)
    for stage in done:
        files.write_json(place / "done" / f"{stage}.json", files.read_json(source / "done" / f"{stage}.json"))
    files.write_json(place / "config.json", settings)
    return given
