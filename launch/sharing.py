"""What runs of one beginning need not do twice: a run takes from another what both would make alike.

Every stage is a function of the config, so a copy has the bytes that the run would have made itself, as long as both
are of one version of the code.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from launch.points import UNHASHED
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
STEERING, TIME = "rejection_steering", "time.json"

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


def same(one: Settings, other: Settings) -> bool:
    """Whether two runs leave the same in every figure."""
    return all(one.get(name) == other.get(name) for name in {*one, *other} - {*UNHASHED})


def common(source: Path, settings: Settings) -> list[str]:
    """What a run of `settings` may take over of what the one at `source` has done, as names of files and folders: all
    where they are the same and that one is finished, the beginning where they begin alike."""
    if not (source / "config.json").exists():
        return []
    other, done = files.read_json(source / "config.json"), {file.stem for file in (source / "done").glob("*.json")}
    if "prepare_data" not in done or not same_base(settings, other):
        return []
    if same(settings, other) and done >= {*settings["stages"]}:
        return sorted(path.name for path in source.iterdir() if path.name != "config.json")
    names, measured = ["data", "done/prepare_data.json"], ["evaluate/base", "robustness/base"]
    if STEERING in done and same_steering(settings, other):
        names += [STEERING, f"done/{STEERING}.json"]
        measured += [f"evaluate/{STEERING}"]
    return names + [name for name in measured if (source / name / "metrics.json").exists()]


def closest(donors: Sequence[Path], settings: Settings) -> Path | None:
    """The run of those from which one of `settings` may take over most: before all a finished one that is the same.
    None where there are none."""

    def much(donor: Path) -> tuple[bool, int]:
        names = common(donor, settings)
        return TIME in names, len(names)

    return max(donors, key=much, default=None)


def give(source: Path, place: Path, settings: Settings) -> list[str]:
    """Begins the run of `settings` at `place` with what it has in `common` with the one at `source`; returns that.

    config.json, written last, makes it a run; nothing is done where there is one already. What is taken over took no
    time.
    """
    given = [] if (place / "config.json").exists() else common(source, settings)
    if not given:
        return []
    shutil.rmtree(place, ignore_errors=True)  # half a copy, of a sweep that was killed
    for name in given:
        copy = shutil.copytree if (source / name).is_dir() else shutil.copyfile
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        copy(source / name, place / name)
    if (place / TIME).exists():
        files.write_json(place / TIME, {**files.read_json(place / TIME), "time_s": {}})
    files.write_json(place / "config.json", settings)
    return given
