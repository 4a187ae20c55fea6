"""The main command: runs the stages of a config in order, each once.

    python -m rule_jax.main --config=configs/grpo.py [--config.seed=1 ...] [--workdir=runs/mine]

The same command again goes on where the last one stopped. Exit codes: 0 done, 2 the input needs mending (one line says
what, where and how), 1 anything else.
"""

import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from absl import flags
from ml_collections import ConfigDict, config_flags

from rule_jax import files, plugin, sharding, telemetry
from rule_jax.errors import UserError, nearest
from rule_jax.stages import Run
from rule_jax.stages._training import Diverged

CONFIG = config_flags.DEFINE_config_file("config", None, "The config file, e.g. configs/grpo.py.", lock_config=True)
WORKDIR = flags.DEFINE_string("workdir", None, "Where the run writes; default runs/<config name>.")
CACHE_DIR = flags.DEFINE_string(
    "cache_dir", None, "Where compiled programs and the world's model are kept between runs; default ~/.cache/rule_jax."
)
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Delete what an earlier run left in the workdir, and begin anew.")


def main(argv: Sequence[str]) -> None:
    if len(argv) > 1:
        raise UserError(f"unexpected argument {argv[1]!r}; options are written --name=value")
    run = start()
    stages = [(name, plugin.load("stages", name)) for name in run.config.stages]
    for _, stage in stages:
        stage.check(run)
    waiting = [(name, stage) for name, stage in stages if not (run.workdir / "done" / f"{name}.json").exists()]
    if not waiting:
        telemetry.info(f"all stages of {run.workdir} are done; see {run.workdir / 'report' / 'report.html'}")
    for name, stage in waiting:
        telemetry.info(f"{name}: begins")
        started = time.monotonic()
        stage.run(run)
        seconds = record_time(run.workdir, name, time.monotonic() - started)
        files.write_json(run.workdir / "done" / f"{name}.json", {"seconds": seconds})
        telemetry.info(f"{name}: done in {seconds:.1f} s")


def start() -> Run:
    """The run that the flags describe: its workdir claimed, its devices in a mesh, its compilations cached."""
    config = CONFIG.value
    known = plugin.names("stages")
    for name in config.stages:
        if name not in known:
            raise UserError(f"config.stages has {name!r}; stages are {', '.join(known)}.{nearest(name, known)}")
    default = Path("runs") / Path(flags.FLAGS["config"].config_filename).stem  # type: ignore[attr-defined]
    workdir = Path(WORKDIR.value) if WORKDIR.value else default
    cache_dir = Path(CACHE_DIR.value or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "rule_jax").expanduser()
    claim(workdir, config, OVERWRITE.value)
    telemetry.start_logging(workdir / "logs")
    cache_compilations(cache_dir / "xla")
    mesh = sharding.make_mesh(**config.mesh)
    telemetry.info(f"rule_jax on {mesh.size} {jax.devices()[0].platform} device(s); writing to {workdir}")
    return Run(config=config, workdir=workdir, cache_dir=cache_dir, mesh=mesh)


def claim(workdir: Path, config: ConfigDict, overwrite: bool) -> None:
    """Makes the workdir this config's. Raises UserError when another config has made it, showing the difference."""
    mine = json.loads(json.dumps(config.to_dict(), default=list))
    file = workdir / "config.json"
    if overwrite and file.exists():
        shutil.rmtree(workdir)
    if file.exists():
        theirs = json.loads(file.read_text(encoding="utf-8"))
        different = [f"{key}: {was!r} there, {now!r} now" for key, was, now in differences(theirs, mine)]
        if different:
            raise UserError(
                f"{workdir} was made by another config ({'; '.join(different)}). Use another --workdir, or "
                "--overwrite to delete it."
            )
    elif workdir.exists() and any(workdir.iterdir()):
        raise UserError(f"{workdir} has files but is no run of rule_jax; use another --workdir")
    try:
        files.write_json(file, mine)
    except OSError as error:
        raise UserError(f"{workdir} cannot be written: {error.strerror}; use another --workdir") from None


def differences(a: Any, b: Any, key: str = "config") -> Iterator[tuple[str, Any, Any]]:
    """(dotted key, value in a, value in b) wherever two nested mappings differ."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for name in sorted(a.keys() | b.keys()):
            yield from differences(a.get(name), b.get(name), f"{key}.{name}")
    elif a != b:
        yield key, a, b


def cache_compilations(directory: Path) -> None:
    """XLA programs are kept on disk, small ones too: a second run compiles nothing."""
    directory.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_compilation_cache_dir", str(directory))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def record_time(workdir: Path, stage: str, seconds: float) -> float:
    """Adds to the stage's time in time.json, which outlives interruptions; returns the stage's sum."""
    file = workdir / "time.json"
    spent = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"time_s": {}, "peak_rss_bytes": 0}
    spent["time_s"][stage] = spent["time_s"].get(stage, 0.0) + seconds
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    spent["peak_rss_bytes"] = max(spent["peak_rss_bytes"], peak)
    files.write_json(file, spent)
    return spent["time_s"][stage]


def parse(argv: Sequence[str]) -> list[str]:
    """absl's flag parsing, with every mistake in the config or its overrides as one UserError."""
    try:
        rest = flags.FLAGS(argv)
        if CONFIG.value is None:
            raise UserError("--config is missing; try --config=configs/grpo.py")
        return rest
    except (flags.Error, KeyError, AttributeError, TypeError, ValueError, OSError) as error:
        text = str(error.args[0] if error.args else error).strip().replace("\n", " ")
        raise UserError(f"{text} (in {' '.join(argv[1:])})") from None


def console() -> None:
    """Runs `main` and turns what a user can mend into one line and exit code 2."""
    try:
        main(parse(sys.argv))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except Diverged as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    console()
