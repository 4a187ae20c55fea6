"""rule_jax.bench as a real process, on a directory that has no weights: every phase is timed, and its work is right."""

import json
import platform
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from rule_jax.data.world import Corpus
from rule_jax.stages import _world_model
from rule_jax.types import SftExample
from tests.runs import ROOT, environment

B, G, P, R = 3, 2, 5, 4
L, D, H, F, V = 2, 16, 2, 24, 300


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """config.json, a tokenizer and no weights."""
    from configs import grpo

    place = tmp_path_factory.mktemp("bench") / "model"
    place.mkdir()
    settings = grpo.get_config().world
    settings.update({"vocab_size": V, "width": D, "layers": L, "heads": H, "mlp_width": F})
    _world_model._write_config(place, settings)
    corpus = Corpus(documents=["one two three"], dialogues={"a": [SftExample("one", "two")]})
    _world_model._write_tokenizer(place, corpus, V)
    return place


def bench(directory, *more, **variables):
    shape = [f"--prompts={B}", f"--group={G}", f"--prompt_len={P}", f"--new_tokens={R}", "--repeats=2"]
    command = [sys.executable, "-m", "rule_jax.bench", f"--model={directory}", *shape, *more]
    return subprocess.run(command, cwd=ROOT, env=environment() | variables, capture_output=True, text=True)


def test_every_phase_is_timed_and_its_work_counted(directory):
    done = bench(directory, "--json", f"--cache_dir={directory.parent}")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    phases = {phase["phase"]: phase for phase in said["phases"]}
    assert [*phases] == ["rollout", "reward", "update", "step", "score", "sft"]
    assert all(0 < phase["min_s"] <= phase["median_s"] <= phase["max_s"] for phase in phases.values())
    assert all(phase["cpu_s"] > 0 for phase in phases.values())
    assert said["matmul_flops_per_s"] > 0
    assert said["parameters"] == V * D + D + L * (4 * D * D + 3 * D * F + 2 * D)

    texts, T = B * G, P + R
    projections, head = 2 * L * (4 * D * D + 3 * D * F), 2 * D * V
    assert phases["score"]["flops"] == texts * T * (projections + head + L * 4 * T * D)
    # Every first token comes from the prompts; the loop reads all but the last, beside the prompt and all room.
    prompt = B * (P * (projections + L * 4 * P * D) + head)
    drawn = texts * (R - 1) * (projections + head + L * 4 * (P + R - 1) * D)
    assert phases["rollout"]["flops"] == prompt + drawn
    assert phases["step"]["flops"] == phases["rollout"]["flops"] + phases["update"]["flops"]
    # Forward and twice that back; nothing follows a text's last token.
    assert phases["sft"]["flops"] == 3 * texts * (T * (projections + L * 4 * T * D) + (T - 1) * head)
    assert phases["rollout"]["tokens_per_s"] == pytest.approx(texts * R / phases["rollout"]["median_s"])


def gives_large_pages() -> bool:
    """Can malloc ask for them (glibc 2.35), and does this kernel give them to those that ask, and to no other?"""
    library, version = platform.libc_ver()
    file = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    recent = library == "glibc" and tuple(map(int, version.split("."))) >= (2, 35)
    return recent and file.exists() and "[madvise]" in file.read_text()


@pytest.mark.skipif(not gives_large_pages(), reason="large pages for those that ask")
def test_memory_that_the_kernel_clears_for_every_call_is_told_and_the_advice_helps(directory):
    much = ["--prompts=512", "--prompt_len=192", "--phases=rollout", f"--cache_dir={directory.parent}"]
    plain = bench(directory, *much)
    advice = re.search(r"rollout: the kernel cleared (\S+) GB .* (GLIBC_TUNABLES)=(\S+) before", plain.stdout)
    assert advice, plain.stdout + plain.stderr
    cleared, name, value = advice.groups()
    [cured] = json.loads(bench(directory, *much, "--json", **{name: value}).stdout)["phases"]
    assert cured["page_faults"] * resource.getpagesize() < float(cleared) * 1e9 / 2


@pytest.mark.slow
def test_some_phases_as_a_table_with_an_adapter_and_a_critic(directory):
    done = bench(
        directory,
        "--prompts=4",
        "--phases=update",
        "--config=configs/ppo.py",
        "--config.lora.rank=2",
        f"--cache_dir={directory.parent}",
    )
    assert done.returncode == 0, done.stderr
    head, ceilings, titles, row, memory = done.stdout.splitlines()
    assert "parameters in float32" in head
    assert "TFLOP/s" in ceilings
    assert titles.split()[0] == "phase"
    assert row.split()[0] == "update"
    assert memory.startswith("peak memory")


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--phases=rolout", "Did you mean 'rollout'?"),
        ("--mesh=date=1", "--mesh=date=1: it is written like"),
        ("--prompts=0", "--prompts"),
        ("--model=nowhere", "nowhere does not exist"),
    ],
)
def test_what_a_user_can_mend_is_one_line(directory, flag, words):
    done = bench(directory, flag)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
