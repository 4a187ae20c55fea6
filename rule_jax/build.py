"""Makes a forget and boundary set from a name, or judges one that there is.

    python -m rule_jax.build --config=configs/build.py --config.target="Stephen King" --workdir=runs/king_data
    python -m rule_jax.build --config=configs/build.py --audit_only --config.data.source=rwku --config.data.path=FOLDER

The same command again pays for nothing twice. Exit codes: 0 done, 2 the input needs mending (one line says what, where
and how), 130 interrupted, 1 anything else.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from rule_jax import main as main_command
from rule_jax import sharding, telemetry
from rule_jax.builder import pipeline
from rule_jax.errors import UserError, one_line
from rule_jax.stages import Run

AUDIT_ONLY = flags.DEFINE_bool("audit_only", False, "Judge the records of config.data instead of making any.")


def main(argv: Sequence[str]) -> None:
    if len(argv) > 1:
        raise UserError(f"unexpected argument {argv[1]!r}; options are written --name=value")
    if main_command.OVERWRITE.value:
        raise UserError(
            "--overwrite would delete answers that were paid for; delete the folder yourself, or name another"
        )
    run = describe()
    pipeline.check(run, audit_only=AUDIT_ONLY.value)
    telemetry.start_logging(run.workdir / "logs")
    (pipeline.audit_only if AUDIT_ONLY.value else pipeline.build)(run)


def describe() -> Run:
    config = main_command.CONFIG.value
    subject = config.target or Path(config.data.path).name or "data"
    cache_dir = main_command.cache_directory()
    main_command.cache_compilations(cache_dir / "xla")
    default = Path("runs") / f"build_{re.sub(r'[^0-9A-Za-z]+', '_', subject).strip('_').lower()}"
    return Run(
        config=config,
        workdir=Path(main_command.WORKDIR.value) if main_command.WORKDIR.value else default,
        cache_dir=cache_dir,
        mesh=sharding.make_mesh(**config.mesh),
    )


def console() -> None:
    """Runs `main`; what a user can mend is one line and exit code 2, an interrupt one line and 130."""
    try:
        with one_line():
            main(main_command.parse(sys.argv))
    except KeyboardInterrupt:
        print("interrupted; what was answered is kept, and the same command goes on from there", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    console()
