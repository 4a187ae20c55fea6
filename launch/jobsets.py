"""A JobSet of Kubernetes for each point of a sweep, made of a manifest that runs one (k8s_jobset.yaml)."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from launch.points import Point
from rule_jax.errors import UserError

OWN = ("--config=", "--config.", "--workdir=")  # arguments that each point has of its own


def of_points(manifest: Path, points: Sequence[tuple[Point, Path]], passed_on: Sequence[str] = ()) -> str:
    """YAML, a document a point. Hosts, chips, image, volumes and the arguments that are no settings are the manifest's;
    names end in the points' digests.

    points: each with the workdir of its run. passed_on: further flags of the main command. Raises UserError for a
    manifest that is no JobSet.
    """
    form = _read(manifest)
    return yaml.safe_dump_all([_of(form, point, workdir, passed_on) for point, workdir in points], sort_keys=False)


def _of(form: Mapping[str, Any], point: Point, workdir: Path, passed_on: Sequence[str]) -> dict[str, Any]:
    made: Any = copy.deepcopy(form)
    about, container = made["metadata"], _container(made)
    about["name"] = f"{about['name']}-{point.digest}"
    about["annotations"] = {**about.get("annotations", {}), "rule-jax/point": point.name}
    kept = [argument for argument in container["args"] if not argument.startswith(OWN)]
    given = {argument.partition("=")[0] for argument in passed_on}
    kept = [argument for argument in kept if argument.partition("=")[0] not in given]
    container["args"] = [*kept, *point.arguments(workdir), *passed_on]
    return made


def _read(manifest: Path) -> dict[str, Any]:
    try:
        form = yaml.safe_load(manifest.read_text(encoding="utf-8"))
        arguments = _container(form)["args"]
        known = form["kind"] == "JobSet" and form["metadata"]["name"] and all(isinstance(a, str) for a in arguments)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"--manifest: {manifest} cannot be read: {' '.join(str(error).split())}") from None
    except (KeyError, IndexError, TypeError):
        known = False
    if not known:
        raise UserError(
            f"--manifest: {manifest} is no JobSet whose first container has args; see launch/k8s_jobset.yaml"
        )
    return form


def _container(form: Any) -> dict[str, Any]:
    return form["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]["containers"][0]
