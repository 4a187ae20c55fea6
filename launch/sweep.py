"""Runs every point of a sweep, goes on where it was stopped, and puts what came out into one table and one page.

    python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/boundary_share.py

    --workdir=DIR         where; by default runs/<sweep name>
    --dry_run             prints the points, what is done of them and how long the rest may take; runs nothing
    --retry               tries again what failed; without it, failed points are listed and left alone
    --collect             only makes the table and the page again, of the runs that are there
    --commands            only prints a command line for each point that is not done, to be run elsewhere
    --manifest=FILE       or prints a JobSet of Kubernetes for each, made of this one (launch/k8s_jobset.yaml)
    --only=TEXT           only the points whose name has the text in it
    --processes=2         points side by side, the machine's cores dealt out among them
    --devices=0,1,2,3     or one point a GPU: each process sees its own alone
    --donors=runs/kl,...  folders of other sweeps, made by the same version, whose runs the points may take over from
    --slurm=time=60,...   or each point as a job of Slurm, with these options of sbatch (launch/README.md)
    --config.KEY=VALUE    for every point, below what the sweep sets; it makes them other points

A point is known by a hash of its whole config, so that what is finished is not run again, and an interrupted sweep
goes on by the same command. Leaves WORKDIR/results.csv and results.parquet (a row a point and model), costs.csv and
report/report.html. Other flags (--cache_dir) are passed on to the runs. A sweep file may have get_next(config, rows)
beside get_sweep(config): further points, chosen by the table of the first ones, and alone on the page. Exit codes: 0
done, 1 some points failed, 2 the input needs mending.
"""

import os
import shlex
import signal
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import flags

from launch import jobsets, local, points, results
from launch.points import Override, Point
from rule_jax.errors import UserError, one_line
from rule_jax.reporting.data import collect

CONFIG = flags.DEFINE_string("config", "configs/grpo.py", "The config file that points start from.")
SWEEP = flags.DEFINE_string("sweep", "", "The sweep file, e.g. configs/sweeps/boundary_share.py.")
WORKDIR = flags.DEFINE_string("workdir", None, "Each point has its place under here; default runs/<sweep name>.")
DRY_RUN = flags.DEFINE_bool("dry_run", False, "Print the points and the time; run nothing.")
RETRY = flags.DEFINE_bool("retry", False, "Try again what failed.")
COLLECT = flags.DEFINE_bool("collect", False, "Only make the table and the page again.")
COMMANDS = flags.DEFINE_bool("commands", False, "Only print the command line of each point that is not done.")
MANIFEST = flags.DEFINE_string("manifest", "", "Only print a JobSet for each point that is not done, made of this one.")
ONLY = flags.DEFINE_string("only", "", "Only the points whose name has this text in it.")
PROCESSES = flags.DEFINE_integer("processes", 1, "Points that run side by side.", lower_bound=1)
SLURM = flags.DEFINE_list("slurm", None, "Options of Slurm's jobs, name=value, instead of --processes.")
DONORS = flags.DEFINE_list("donors", [], "Folders of other sweeps, made by the same version, to take over from.")
DEVICES = flags.DEFINE_list("devices", [], "GPUs, a point each, instead of --processes.")


def main(argv: Sequence[str]) -> int:
    common, passed_on = points.settings_of(argv[1:])
    if not SWEEP.value:
        raise UserError("--sweep is missing; try --sweep=configs/sweeps/boundary_share.py")
    places = local.Places(Path(WORKDIR.value or Path("runs") / Path(SWEEP.value).stem), _donors())
    chosen = _chosen(points.read(CONFIG.value, SWEEP.value, common))
    then = points.function(SWEEP.value, "get_next", optional=True)
    if DRY_RUN.value:
        print(plan(chosen, places, DEVICES.value or [""] * PROCESSES.value, more=then is not None))
        return 0
    if COMMANDS.value or MANIFEST.value:
        every = [*chosen, *_next(then, chosen, places, common)]
        left = [(point, places.run(point)) for point in every if places.state(point) != "done"]
        if MANIFEST.value:
            print(jobsets.of_points(Path(MANIFEST.value), left, passed_on), end="")
            return 0
        for point, workdir in left:
            print(shlex.join(["python", "-m", "rule_jax.main", *point.arguments(workdir), *passed_on]))
        return 0
    run = _backend(places, passed_on)
    run(chosen, retry=RETRY.value)
    found = _next(then, chosen, places, common)
    run(found, retry=RETRY.value)
    return finish([*chosen, *found], places, found or chosen)


def plan(chosen: Sequence[Point], places: local.Places, slots: Sequence[str], *, more: bool) -> str:
    """The table of --dry_run."""
    width = max(len(point.name) for point in chosen)
    lines = [f"{point.name:<{width}}  {places.state(point)}" for point in chosen]
    took = [seconds for point in chosen if (seconds := places.seconds(point)) is not None]
    left = sum(places.state(point) in ("begun", "waiting") for point in chosen)
    if took:
        minutes = statistics.mean(took) * left / len(slots) / 60
        about = f"about {minutes:.0f} min at {statistics.mean(took):.0f} s a point, as the finished ones took"
    else:
        about = "no point is finished yet to tell how long one takes"
    lines.append(f"{len(chosen)} points, {left} to run on {len(slots)} at a time: {about}")
    if more:
        lines.append("further points are chosen by what these show (get_next of the sweep file)")
    return "\n".join(lines)


def finish(chosen: Sequence[Point], places: local.Places, shown: Sequence[Point]) -> int:
    """Writes the table of what is done, and the page of what is shown; says what failed, and why. Returns the exit
    code."""
    done, page = ([p for p in points if places.state(p) == "done"] for points in (chosen, shown))
    page = page if len(page) > 1 else done  # one point makes no comparison
    if done:
        for file in results.write(done, places, page):
            print(f"sweep: {file}")
    failed = [point for point in chosen if places.state(point) == "failed"]
    for point in failed:
        print(f"failed: {point.name}: {places.error(point)} ({places.log(point)})", file=sys.stderr)
    if left := [point for point in chosen if places.state(point) in ("begun", "waiting")]:
        print(f"{len(left)} of {len(chosen)} points are not done; the table is without them", file=sys.stderr)
    if failed:
        print(f"{len(failed)} of {len(chosen)} points failed; --retry tries them again", file=sys.stderr)
    return 1 if failed else 0


def _next(
    then: Callable[..., Sequence[Override]] | None, first: Sequence[Point], places: local.Places, common: Override
) -> list[Point]:
    """What the sweep file adds when its first points are done; nothing before."""
    if then is None or any(places.state(point) in ("begun", "waiting") for point in first):
        return []
    done = [point for point in first if places.state(point) == "done"]
    rows = [row for point in done for row in results.rows(point, collect(places.run(point)))]
    found = then(points.load(CONFIG.value), rows)
    known = {point.digest for point in first}
    following = points.resolve(CONFIG.value, found, SWEEP.value, common) if found else []
    return [point for point in following if point.digest not in known]


def _chosen(found: Sequence[Point]) -> list[Point]:
    chosen = [point for point in found if ONLY.value in point.name]
    if not chosen:
        raise UserError(f"--only={ONLY.value}: none of {len(found)} points has that in its name, as {found[0].name}")
    return chosen


def _backend(places: local.Places, passed_on: Sequence[str]) -> Callable[..., None]:
    """What runs points: run(points, retry=...)."""
    if COLLECT.value:
        return lambda points, retry: None
    if SLURM.value is None:
        return local.Runner(places, _slots(), passed_on)
    try:
        from launch import slurm
    except ImportError:
        raise UserError("--slurm needs submitit: pip install 'rule_jax[slurm]'") from None
    return slurm.Runner(places, points.assigned(SLURM.value, "--slurm"), passed_on)


def _donors() -> list[Path]:
    donors = [Path(name) for name in DONORS.value]
    for donor in donors:
        if not donor.is_dir():
            raise UserError(f"--donors: {donor} does not exist; name the --workdir of another sweep")
    return donors


def _slots() -> list[local.Slot]:
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if not DEVICES.value and cores and PROCESSES.value > len(cores):
        raise UserError(f"--processes={PROCESSES.value}: this machine has {len(cores)} cores for them")
    return local.slots(PROCESSES.value, cores, DEVICES.value)


def console() -> None:
    """Runs `main`; what a user can mend is one line and exit code 2."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as an interrupt: the runs of this sweep end with it
    with one_line(flags.Error):
        sys.exit(main(flags.FLAGS(sys.argv, known_only=True)))


if __name__ == "__main__":
    console()
