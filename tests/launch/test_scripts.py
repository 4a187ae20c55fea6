"""launch's scripts: each makes the command of the README's example, with arguments left as they are."""

import math
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.client import models

from launch import jobsets, points
from rule_jax.errors import UserError

LAUNCH = Path(__file__).parents[2] / "launch"
ARGUMENTS = ["--config=configs/grpo.py", "--config.stages=('prepare_data','evaluate')", "--workdir=a b/$HOME"]


def said(script: str, *arguments: str, **variables: str) -> str:
    environment = {**os.environ, **variables}
    done = subprocess.run([LAUNCH / script, *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def command(path: Path, name: str, body: str) -> str:
    """A folder for PATH with one command in it."""
    file = path / name
    file.write_text(f"#!/bin/bash\n{body}\n")
    file.chmod(0o755)
    return f"{path}:{os.environ['PATH']}"


SAY = 'printf "%s\\n" "$@"'


def test_one_host_runs_the_main_command_on_the_gpus_that_it_is_told(tmp_path):
    path = command(tmp_path, "say", f'echo "$CUDA_VISIBLE_DEVICES"; {SAY}')
    lines = said("gpu.sh", *ARGUMENTS, PATH=path, PYTHON="say", GPUS="2,3").splitlines()
    assert lines == ["2,3", "-m", "rule_jax.main", *ARGUMENTS]


def test_slurm_starts_a_process_a_node_and_all_end_with_one(tmp_path):
    lines = said("slurm.sbatch", *ARGUMENTS, PATH=command(tmp_path, "srun", SAY)).splitlines()
    main = ["python", "-m", "rule_jax.main", "--coordinator_address=auto", *ARGUMENTS]
    assert lines == ["--kill-on-bad-exit=1", *main]
    text = (LAUNCH / "slurm.sbatch").read_text()
    options = dict(re.findall(r"^#SBATCH --([\w-]+)=(\S+)$", text, re.MULTILINE))
    assert (options["nodes"], options["ntasks-per-node"]) == ("4", "1")
    assert "#SBATCH --requeue\n" in text


def test_a_job_of_an_array_runs_its_point(tmp_path):
    lines = [shlex.join(["say", str(number), *ARGUMENTS]) for number in (1, 2)]
    (tmp_path / "points.txt").write_text("\n".join(lines) + "\n")
    path = command(tmp_path, "say", SAY)
    shown = said("slurm_points.sbatch", str(tmp_path / "points.txt"), PATH=path, SLURM_ARRAY_TASK_ID="2")
    assert shown.splitlines() == ["2", *ARGUMENTS]


def test_every_host_of_a_slice_gets_the_arguments_as_they_are(tmp_path):
    shown = said("tpu_pod.sh", *ARGUMENTS, TPU="mine", ZONE="z-a", FOLDER="code here", PROJECT="p", DRY_RUN="1")
    words = shlex.split(shown)
    assert words[:6] == ["gcloud", "compute", "tpus", "tpu-vm", "ssh", "mine"]
    assert {"--zone=z-a", "--worker=all", "--project=p"} <= set(words)
    remote = next(word for word in words if word.startswith("--command=")).removeprefix("--command=")
    (tmp_path / "code here").mkdir()
    path = command(tmp_path, "python", f"pwd; {SAY}")
    lines = subprocess.check_output(["bash", "-c", remote], cwd=tmp_path, env={"PATH": path}, text=True).splitlines()
    assert lines == [f"{tmp_path}/code here", "-m", "rule_jax.main", "--coordinator_address=auto", *ARGUMENTS]


def test_a_slice_without_a_name_is_told():
    done = subprocess.run([LAUNCH / "tpu_pod.sh"], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True)
    assert done.returncode != 0
    assert "set TPU to the name of the slice" in done.stderr


def test_the_manifest_has_as_many_hosts_and_chips_as_its_slice_and_settings_that_exist():
    manifest = yaml.safe_load((LAUNCH / "k8s_jobset.yaml").read_text())
    assert (manifest["apiVersion"], manifest["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    (job,) = manifest["spec"]["replicatedJobs"]
    hosts, pod = job["template"]["spec"], job["template"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert hosts["parallelism"] == hosts["completions"]
    assert (hosts["completionMode"], pod["restartPolicy"]) == ("Indexed", "Never")
    chips = container["resources"]["limits"]["google.com/tpu"]
    shape = pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"]
    assert hosts["parallelism"] * chips == math.prod(map(int, shape.split("x")))
    assert container["command"] + container["args"][:1] == [
        "python",
        "-m",
        "rule_jax.main",
        "--coordinator_address=auto",
    ]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    options = dict(argument.removeprefix("--").split("=", 1) for argument in container["args"])
    settings = {k.removeprefix("config."): v for k, v in options.items() if k.startswith("config.")}
    (point,) = points.resolve(
        str(LAUNCH.parent / options["config"]),
        [{key: int(value) if value.isdigit() else value for key, value in settings.items()}],
        "k8s_jobset.yaml",
    )
    mesh = point.settings["mesh"]
    assert mesh["fsdp"] * mesh["tensor"] == hosts["parallelism"] * chips


SIMPLE = {"str": str, "int": int, "bool": bool, "object": object}


def check(value: Any, kind: str, where: str) -> None:
    """Asserts that a value has the form of a kind of the Kubernetes API, field for field, as its client knows it."""
    if listed := re.fullmatch(r"list\[(.+)\]", kind):
        assert isinstance(value, list), f"{where}: no {kind}"
        for item in value:
            check(item, listed[1], f"{where}[]")
    elif mapped := re.fullmatch(r"dict\[str, (.+)\]", kind):
        assert isinstance(value, dict), f"{where}: no {kind}"
        for key, item in value.items():
            # Quantities (google.com/tpu: 4) are written as strings or as numbers.
            check(str(item) if where.endswith("limits") else item, mapped[1], f"{where}.{key}")
    elif kind in SIMPLE:
        assert isinstance(value, SIMPLE[kind]), f"{where}: no {kind}"
    else:
        model = getattr(models, kind)
        fields = {spelling: name for name, spelling in model.attribute_map.items()}
        for key, item in value.items():
            assert key in fields, f"{where}: {kind} has no {key!r}"
            check(item, model.openapi_types[fields[key]], f"{where}.{key}")


def test_each_point_of_a_sweep_has_a_jobset_of_its_own(tmp_path):
    """Its arguments are the point's, the rest is the manifest's."""
    own = [{"seed": 1, "reward.alpha": 0.3}, {"seed": 2, "stages": ("prepare_data", "evaluate")}]
    found = points.resolve(str(LAUNCH.parent / "configs/grpo.py"), own, "sweep.py")
    runs = [(point, Path("/shared/kl") / point.name) for point in found]
    text = jobsets.of_points(LAUNCH / "k8s_jobset.yaml", runs, ["--cache_dir=/shared/other"])
    made, form = [*yaml.safe_load_all(text)], yaml.safe_load((LAUNCH / "k8s_jobset.yaml").read_text())
    assert [manifest["metadata"]["name"] for manifest in made] == [f"rule-jax-{point.digest}" for point in found]
    for manifest, (point, workdir) in zip(made, runs, strict=True):
        check(manifest["metadata"], "V1ObjectMeta", "metadata")
        (job,) = manifest["spec"]["replicatedJobs"]
        check(job["template"], "V1JobTemplateSpec", "template")
        (container,) = job["template"]["spec"]["template"]["spec"]["containers"]
        arguments = ["--coordinator_address=auto", *point.arguments(workdir), "--cache_dir=/shared/other"]
        assert container.pop("args") == arguments
        assert manifest["metadata"].pop("annotations") == {"rule-jax/point": point.name}
        form["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]["containers"][0].pop("args", None)
        assert {**manifest, "metadata": form["metadata"]} == form


@pytest.mark.parametrize("text", ["kind: JobSet", "kind: Job\nmetadata: {name: a}", "- 1", "a: [", ""])
def test_a_manifest_that_is_no_jobset_is_told(tmp_path, text):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(UserError, match=r"mine\.yaml (is no JobSet|cannot be read)"):
        jobsets.of_points(tmp_path / "mine.yaml", [])


def test_the_manifest_s_jobs_are_jobs_of_kubernetes():
    manifest = yaml.safe_load((LAUNCH / "k8s_jobset.yaml").read_text())
    check(manifest["metadata"], "V1ObjectMeta", "metadata")
    (job,) = manifest["spec"]["replicatedJobs"]
    check(job["template"], "V1JobTemplateSpec", "template")
    job["template"]["spec"]["template"]["spec"]["containers"][0]["volumeMount"] = []
    with pytest.raises(AssertionError, match="V1Container has no 'volumeMount'"):
        check(job["template"], "V1JobTemplateSpec", "template")
