"""Reports: of one run again, of many runs together, and whether an erasure record still holds.

    python -m rule_jax.report runs/grpo                       # writes runs/grpo/report anew
    python -m rule_jax.report runs/a runs/b ... [--out=DIR]   # one page out of many; DIR defaults to runs/comparison

    python -m rule_jax.report --verify runs/grpo              # does report/audit.json still hold?

Needs no accelerator. Exit codes: 0 done; 2 the input needs mending (one line says what, where and how), or something is
not as the record has it (a line each).
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from rule_jax.errors import UserError, one_line
from rule_jax.reporting import audit, comparison_page, page

VERIFY = flags.DEFINE_bool("verify", False, "Compare a run with its erasure record, report/audit.json.")
OUT = flags.DEFINE_string("out", "runs/comparison", "Where the page of many runs is written.")


def main(argv: Sequence[str]) -> None:
    workdirs = [Path(argument) for argument in argv[1:]]
    if not workdirs:
        raise UserError("name one finished run, or several: python -m rule_jax.report runs/a runs/b")
    for workdir in workdirs:
        if not (workdir / "config.json").exists():
            raise UserError(f"{workdir} is no run: it has no config.json")
    if VERIFY.value:
        for workdir in workdirs:
            _verify(workdir)
    elif len(workdirs) == 1:
        print(f"report: open {page.write(workdirs[0])}")
    else:
        print(f"report: open {comparison_page.write(workdirs, Path(OUT.value))}")


def _verify(workdir: Path) -> None:
    """Says what is not as recorded. Raises UserError when there is such a thing."""
    different = audit.verify(workdir)
    for line in different:
        print(f"differs: {line}", file=sys.stderr)
    if different:
        count = f"{len(different)} thing is" if len(different) == 1 else f"{len(different)} things are"
        raise UserError(f"{workdir}: {count} not as {audit.FILE} has it; if that was meant, delete it and report again")
    print(f"verify: {workdir} is as {audit.FILE} has it")


def console() -> None:
    """Runs `main`; what a user can mend is one line and exit code 2."""
    with one_line(flags.Error):
        main(flags.FLAGS(sys.argv))


if __name__ == "__main__":
    console()
