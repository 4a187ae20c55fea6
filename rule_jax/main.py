"""The main command: runs the stages of a config in order, each once.

    python -m rule_jax.main --config=configs/grpo.py [--config.seed=1 ...] [--workdir=runs/mine]

The same command again goes on where the last one stopped. Exit codes: 0 done, 2 the input needs mending (one line says
what, where and how), 143 told to end by SIGTERM and saved (start it again), 1 anything else.
"""

import contextlib
import importlib.metadata
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from absl import flags
from ml_collections import config_flags

from rule_jax import data, files, plugin, preemption, processes, sharding, telemetry
from rule_jax.checkpoint import LIBRARIES
from rule_jax.errors import UserError, nearest, one_line
from rule_jax.stages import Run, check_model
from rule_jax.stages import _exhaustion as exhaustion
from rule_jax.stages._training import Diverged

CONFIG = config_flags.DEFINE_config_file("config", None, "The config file, e.g. configs/grpo.py.", lock_config=True)
WORKDIR = flags.DEFINE_string("workdir", None, "Where the run writes; default runs/<config name>.")
CACHE_DIR = flags.DEFINE_string(
    "cache_dir", None, "Where compiled programs and the world's model are kept between runs; default ~/.cache/rule_jax."
)
COORDINATOR = flags.DEFINE_string(
    "coordinator_address",
    "",
    "Several processes, one run: HOST:PORT of process 0, the same in all; or auto, to ask Slurm, Open MPI, TPU or GKE.",
)
NUM_PROCESSES = flags.DEFINE_integer("num_processes", 1, "How many processes make the run.")
MEETING_S = flags.DEFINE_integer("meeting_s", 300, "Seconds to wait for the last process of the run to come.")
PROCESS_ID = flags.DEFINE_integer("process_id", 0, "Which of them this one is, from 0.")
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Delete what an earlier run left in the workdir, and begin anew.")


def main(argv: Sequence[str]) -> None:
    if len(argv) > 1:
        raise UserError(f"unexpected argument {argv[1]!r}; options are written --name=value")
    processes.connect(COORDINATOR.value, NUM_PROCESSES.value, PROCESS_ID.value, MEETING_S.value)
    preemption.listen()
    run = processes.together(describe)
    same_everywhere(run)
    stages = [(name, plugin.load("stages", name)) for name in run.config.stages]
    processes.together(check, run, stages)
    devices = f"{run.mesh.size} {jax.devices()[0].platform} device(s) in {run.compute_dtype}"
    if jax.process_count() > 1:
        devices += f" of {jax.process_count()} processes"

    # Nothing was written so far, and what can be known to be wrong is known.
    with contextlib.ExitStack() as held:
        processes.together(claim if processes.first() else _nothing, run, held)
        telemetry.start_logging(run.workdir / "logs")
        telemetry.info(f"rule_jax on {devices}; writing to {run.workdir}")
        try:
            follow(run, stages)
        except preemption.Preempted:
            processes.leave()
            raise
    processes.leave()


def follow(run: Run, stages: Sequence[tuple[str, Any]]) -> None:
    """Runs the stages that are not done yet."""
    done = processes.agreed([name for name, _ in stages if (run.workdir / "done" / f"{name}.json").exists()])
    waiting = [(name, stage) for name, stage in stages if name not in done]
    for name, stage in waiting:
        preemption.stop()
        telemetry.info(f"{name}: begins")
        started = time.monotonic()
        with exhaustion.told(run, name):
            stage.run(run)
        processes.wait(name)
        if processes.first():
            seconds = record_time(run.workdir, name, time.monotonic() - started)
            files.write_json(run.workdir / "done" / f"{name}.json", {"seconds": seconds})
            telemetry.info(f"{name}: done in {seconds:.1f} s")
    if processes.first():
        telemetry.info(breakdown(run.workdir) if waiting else f"all stages of {run.workdir} are done; nothing to do")


def describe() -> Run:
    """The run that the flags describe: its devices in a mesh, its compilations cached. Writes nothing of the run."""
    config = CONFIG.value
    known = plugin.names("stages")
    if not config.stages:
        raise UserError(f"config.stages is empty; stages are {', '.join(known)}")
    for name in config.stages:
        if name not in known:
            raise UserError(f"config.stages has {name!r}; stages are {', '.join(known)}.{nearest(name, known)}")
    default = Path("runs") / Path(flags.FLAGS["config"].config_filename).stem  # type: ignore[attr-defined]
    cache_dir = cache_directory()
    cache_compilations(cache_dir / "xla")
    return Run(
        config=config,
        workdir=Path(WORKDIR.value) if WORKDIR.value else default,
        cache_dir=cache_dir,
        mesh=sharding.make_mesh(**config.mesh),
    )


def same_everywhere(run: Run) -> None:
    """Raises UserError, in every process, when the config or the libraries of one are not those of the first."""
    own: dict[str, Any] = {"config": files.plain(run.config), "workdir": str(run.workdir), "overwrite": OVERWRITE.value}
    own["versions"] = {name: importlib.metadata.version(name) for name in (*LIBRARIES, "transformers", "numpy")}
    first, *others = processes.gather(own)
    for number, other in enumerate(others, start=1):
        found = differences(first, other, "")
        if different := "; ".join(f"{key.removeprefix('.')}: {a!r} in the first, {b!r} there" for key, a, b in found):
            raise UserError(
                f"process {number} was not started like the first one ({different}). Start the same command "
                "everywhere, with the same libraries."
            )


def cache_directory() -> Path:
    return Path(CACHE_DIR.value or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "rule_jax").expanduser()


def check(run: Run, stages: Sequence[tuple[str, Any]]) -> None:
    """Raises UserError for what can be known to be wrong, for malformed rows of all files at once. Writes nothing."""
    if not OVERWRITE.value:
        compare(run)
    check_model(run)
    with data.gathering():
        for _, stage in stages:
            stage.check(run)


def compare(run: Run) -> None:
    """Raises UserError when the workdir is another config's, showing the difference, or is no run at all.

    The mesh may be another one: it changes where a run is computed, not what.
    """
    file = run.workdir / "config.json"
    if not file.exists():
        if not files.is_unwritten(run.workdir):
            raise UserError(f"{run.workdir} is no run of rule_jax and not empty; use another --workdir")
        return
    there, now = ({**settings, "mesh": None} for settings in (files.read_json(file), files.plain(run.config)))
    different = "; ".join(f"{key}: {was!r} there, {is_!r} now" for key, was, is_ in differences(there, now))
    if different:
        raise UserError(
            f"{run.workdir} was made by another config ({different}). Use another --workdir, or --overwrite to delete "
            "what is there."
        )


def _nothing(*_: Any) -> None:
    """What the other processes do meanwhile."""


def claim(run: Run, held: contextlib.ExitStack) -> None:
    """Makes the workdir this run's for as long as `held` is; with --overwrite, what an earlier run left there goes."""
    held.enter_context(files.in_use(run.workdir))
    if OVERWRITE.value and (run.workdir / "config.json").exists():
        files.clear(run.workdir, last="config.json")
    compare(run)  # again: another process may have been here since
    files.sweep(run.workdir)
    files.write_json(run.workdir / "config.json", files.plain(run.config))


def differences(a: Any, b: Any, key: str = "config") -> Iterator[tuple[str, Any, Any]]:
    """(dotted key, value in a, value in b) wherever two nested mappings differ."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for name in sorted(a.keys() | b.keys()):
            yield from differences(a.get(name), b.get(name), f"{key}.{name}")
    elif a != b:
        yield key, a, b


def cache_compilations(directory: Path) -> None:
    """XLA programs are kept on disk, small ones too: a second run compiles nothing."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--cache_dir: {directory} cannot be made: {error.strerror}") from None
    jax.config.update("jax_compilation_cache_dir", str(directory))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def record_time(workdir: Path, stage: str, seconds: float) -> float:
    """Adds to the stage's time in time.json, which outlives interruptions and says on what it was spent; returns the
    stage's sum."""
    file = workdir / "time.json"
    spent = files.read_json(file) if file.exists() else {"time_s": {}, "peak_rss_bytes": 0}
    spent["time_s"][stage] = spent["time_s"].get(stage, 0.0) + seconds
    spent["peak_rss_bytes"] = max(spent["peak_rss_bytes"], telemetry.peak_rss_bytes())
    spent["devices"] = {
        "count": jax.device_count(),
        "kind": jax.devices()[0].device_kind,
        "platform": jax.devices()[0].platform,
        "hosts": jax.process_count(),
        "cores": os.cpu_count(),
    }
    files.write_json(file, spent)
    return spent["time_s"][stage]


def breakdown(workdir: Path) -> str:
    """One line: where the time went, and the most memory that was held."""
    spent = files.read_json(workdir / "time.json")
    parts = ", ".join(f"{stage} {seconds:.0f} s" for stage, seconds in spent["time_s"].items())
    return (
        f"done in {sum(spent['time_s'].values()):.0f} s ({parts}); peak memory {spent['peak_rss_bytes'] / 1e9:.2f} GB"
    )


def parse(argv: Sequence[str]) -> list[str]:
    """absl's flag parsing, with every mistake in the config or its overrides as one UserError."""
    file = next((arg.split("=", 1)[1] for arg in argv if arg.startswith("--config=")), None)
    if file is None:
        raise UserError("--config is missing; try --config=configs/grpo.py")
    if not Path(file).is_file():
        beside = sorted(str(p) for p in Path(file).parent.glob("*.py")) if Path(file).parent.is_dir() else []
        raise UserError(f"config file {file} does not exist.{nearest(file, beside)}")
    try:
        rest = flags.FLAGS(argv)
        CONFIG.value.to_dict()
        return rest
    except Exception as error:  # a config file is a program: anything may come out of it
        text = str(error.args[0] if error.args else error).replace("\\n", " ").replace("\\'", "'")
        raise UserError(f"{file}, {' '.join(argv[1:])}: {' '.join(text.split())}") from None


def console() -> None:
    """Runs `main` and turns what a user can mend into one line and exit code 2."""
    try:
        with one_line():
            main(parse(sys.argv))
    except Diverged as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except preemption.Preempted:
        print("told to end (SIGTERM): all is saved, and the same command goes on from here", file=sys.stderr)
        sys.exit(preemption.EXIT_CODE)
    except jax.errors.JaxRuntimeError as error:
        if not processes.is_loss(error):
            raise
        processes.leave_alone(error)


if __name__ == "__main__":
    console()
