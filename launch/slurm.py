"""Runs the points of a sweep as jobs of Slurm, through submitit (https://github.com/facebookincubator/submitit).

A job runs its point as `launch.local` does, so what became of it stands in the same files, and both kinds of runner may
go on with what the other began. Jobs outlive the sweep that submitted them: the same command finds them by their ids
and waits for them. A job that runs out of time or is preempted is queued again, and its point resumes.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import submitit
from submitit.helpers import Checkpointable

from launch import local
from launch.points import Point
from rule_jax import files
from rule_jax.errors import UserError

POLL_S = 1.0


class Work(Checkpointable):
    """What a job does: `Work()(places, point, passed_on)` runs the point."""

    def __call__(self, places: local.Places, point: Point, passed_on: Sequence[str]) -> None:
        local.Runner(places, [local.Slot()], passed_on)([point])


class Runner:
    """Runs each point as a job, all at the same time as far as the cluster lets them.

    options: of the jobs, by submitit's names for those of sbatch (time in minutes, gpus_per_node, partition,
    array_parallelism, ...). passed_on: further flags of the main command. cluster: "local" runs the jobs as processes
    of this machine. Raises UserError for an unknown option, and where there is no Slurm.
    """

    def __init__(
        self,
        places: local.Places,
        options: Mapping[str, Any],
        passed_on: Sequence[str] = (),
        cluster: Literal["slurm", "local"] = "slurm",
    ):
        self.places, self.passed_on = places, list(passed_on)
        self.job = submitit.SlurmJob if cluster == "slurm" else submitit.LocalJob
        self.folder = (places.workdir / "_jobs").absolute()
        try:
            self.executor = submitit.AutoExecutor(self.folder, cluster=cluster)
            self.executor.update_parameters(name="rule_jax", **{f"{cluster}_{key}": options[key] for key in options})
        except (NameError, RuntimeError, ValueError) as error:
            raise UserError(f"--slurm: {error}") from None

    def __call__(self, points: Sequence[Point], *, retry: bool = False) -> None:
        """Returns when every point is done or has failed. retry: those that failed before are tried again."""
        if retry:
            for point in points:
                self.places.failure(point).unlink(missing_ok=True)
        waiting = [point for point in points if self.places.state(point) not in ("done", "failed")]
        jobs = self._submitted(waiting)
        while jobs:
            time.sleep(POLL_S)
            over = [job.done() for _, job in jobs]
            for (point, job), ended in zip(jobs, over):
                if ended:
                    self._settle(point, job)
            jobs = [entry for entry, ended in zip(jobs, over) if not ended]

    def _submitted(self, waiting: Sequence[Point]) -> list[tuple[Point, submitit.Job]]:
        """The job of each point: one that an earlier sweep has submitted and that is not over, or a new one."""
        running, fresh = [], []
        for point in waiting:
            record = self._record(point)
            job = self.job(self.folder, files.read_json(record)["job"]) if record.exists() else None
            if job is None or job.done(force_check=True):
                fresh.append(point)
            else:
                running.append((point, job))
        self._say(f"{len(running)} jobs are under way, {len(fresh)} are submitted")
        if not fresh:
            return running
        places = self.places.absolute()
        with self.executor.batch():
            made = [self.executor.submit(Work(), places, point, self.passed_on) for point in fresh]
        for point, job in zip(fresh, made):
            files.write_json(self._record(point), {"point": point.name, "job": job.job_id})
        return running + list(zip(fresh, made))

    def _settle(self, point: Point, job: submitit.Job) -> None:
        """Says what became of the point of a job that is over; one that left no word of it has failed."""
        if self.places.state(point) not in ("done", "failed"):
            error = f"its job {job.job_id} ended ({job.state}) before it did; {job.paths.stderr}"
            files.write_json(self.places.failure(point), {"point": point.name, "exit_code": None, "error": error})
        self._say(f"{point.name}: {self.places.state(point)}")

    def _record(self, point: Point) -> Path:
        return self.folder / f"{point.digest}.json"

    def _say(self, what: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)
