"""The last stage: what a run did, as figures (`report/metrics.json`) and as a page (`report/report.html`)."""

from rule_jax import processes, telemetry
from rule_jax.errors import UserError
from rule_jax.reporting import page
from rule_jax.stages import Run


def check(run: Run) -> None:
    """Raises UserError when nothing would be evaluated that a report could show."""
    if "evaluate" not in run.config.stages:
        raise UserError("config.stages has report but not evaluate: a report needs figures to show")


def run(run: Run) -> None:
    """Writes the report of this run."""
    if processes.first():
        telemetry.info(f"report: open {page.write(run.workdir)}")
