"""The fair fight: RULE and every trained baseline, tuned alike on the same data, then measured on other seeds.

Asks:     which method forgets most for what it loses, when each had the same chance?
Command:  python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/pareto.py
Rules:    each method has 6 points (3 learning rates; 2 numbers of steps, or 2 retain weights where it has a retain
          term) on the tuning seed, 100. The 2 points of a method that are best together (of those that none of its own
          dominates, the highest harmonic mean of 1 - forget and retain) then run on the seeds 0, 1 and 2, which alone
          make the page, and are attacked there. Data: 12 % of each target's forget records, boundary records as many
          as 8 % of the boundary people's questions; decoding as in evaluate. What trains nothing has nothing to tune.
Watch:    the plane and its hypervolumes on the page; costs.csv for the seconds.
Time:     86 minutes for its 210 runs on two cores with --processes=2, from empty caches, nothing else running.
Seen:     README's table. RULE forgets most of what is trained and keeps 95 %. Gradient ascent and NPO with a retain
          term come near in chat, with untruths where RULE refuses, and keep 87 to 90 %; they leak least in plain text.
          The grids were moved up once, on the tuning seed, where the first ones had ended below what forgets.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from launch.points import called, grid, product
from launch.results import front

TUNING, REPORTED = 100, (0, 1, 2)
CHOSEN = 2  # points of a method that go on to the reported seeds
WITHOUT_RETAIN = ("ga", "npo", "simnpo", "dpo", "rt", "undial", "task_vector")
WITH_RETAIN = ("ga_gdr", "ga_klr", "npo_gdr", "npo_klr", "simnpo_gdr", "simnpo_klr", "rs_retain", "rmu", "wga")
UNTRAINED = ("in_context", "prompt_filter")
FORGET, BOUNDARY = 0.12, 0.08


def get_sweep(config: ConfigDict) -> Sequence[Mapping[str, Any]]:
    steps = {"boundary_optimization.schedule.peak": (2e-4, 3.5e-4, 7e-4), "boundary_optimization.steps": (40, 70)}
    found = _tuned("configs/grpo.py", ("rejection_steering", "boundary_optimization"), steps)
    peaks = {"baseline.schedule.peak": (1e-4, 3e-4, 1e-3)}
    for names, choices in (
        (WITHOUT_RETAIN, {**peaks, "baseline.steps": (30, 60)}),
        (WITH_RETAIN, {**peaks, "baseline.terms.retain.weight": (1.0, 3.0)}),
    ):
        for name in names:
            found += _tuned(f"configs/baselines/{name}.py", ("baseline",), choices)
    return product([_budget(config)], found, [{"seed": TUNING}])


def get_next(config: ConfigDict, rows: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    found = []
    for model in ("boundary_optimization", "baseline"):
        for best in front(rows, model, "config").values():
            found += [_again(row) for row in best[:CHOSEN]]
    untrained = [_budget(config) | _of(f"configs/baselines/{name}.py", ("baseline",)) for name in UNTRAINED]
    attacked = [{**point, "stages": (*point["stages"], "robustness")} for point in (*found, *untrained)]
    return product(attacked, grid({"seed": REPORTED}))


def _tuned(file: str, trained: tuple[str, ...], choices: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """The points of a method, each called by what is tuned: "npo_klr,peak=0.0001,weight=3.0"."""
    method = _of(file, trained)
    return [{**method, **values, "label": called(method["label"], values)} for values in grid(choices)]


def _budget(config: Any) -> dict[str, Any]:
    world = config.data.world
    share = BOUNDARY * world.boundary_people / world.forget_people
    return {"data.forget_share": FORGET, "data.world.boundary_share": round(share, 4)}


def _of(file: str, trained: tuple[str, ...]) -> dict[str, Any]:
    """A method by its recipe, trained and evaluated without more."""
    return {"config": file, "label": Path(file).stem, "stages": ("prepare_data", *trained, "evaluate")}


def _again(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the sweep set for the point of a row."""
    set_ = {key.removeprefix("config."): value for key, value in row.items() if key.startswith("config.")}
    return {"config": row["config"], "label": row["label"], **{k: v for k, v in set_.items() if k != "seed"}}
