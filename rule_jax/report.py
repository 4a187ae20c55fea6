"""Reports: of one run again, of many runs together, and whether an erasure record still holds.

    python -m rule_jax.report runs/grpo                       # writes runs/grpo/report anew
    python -m rule_jax.report runs/a runs/b ... [--out=DIR]   # one page out of many; DIR defaults to runs/comparison

Needs no accelerator. Exit codes: 0 done, 2 the input needs mending (one line says what, where and how).
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from rule_jax.errors import UserError, one_line
from rule_jax.reporting import comparison_page, page

OUT = flags.DEFINE_string("out", "runs/comparison", "Where the page of many runs is written.")


def main(argv: Sequence[str]) -> None:
    workdirs = [Path(argument) for argument in argv[1:]]
    if not workdirs:
        raise UserError("name one finished run, or several: python -m rule_jax.report runs/a runs/b")
    for workdir in workdirs:
        if not (workdir / "config.json").exists():
            raise UserError(f"{workdir} is no run: it has no config.json")
    if len(workdirs) == 1:
        print(f"report: open {page.write(workdirs[0])}")
    else:
        print(f"report: open {comparison_page.write(workdirs, Path(OUT.value))}")


def console() -> None:
    """Runs `main`; what a user can mend is one line and exit code 2."""
    with one_line(flags.Error):
        main(flags.FLAGS(sys.argv))


if __name__ == "__main__":
    console()
