"""The builder as a user starts it: real processes, an endpoint on loopback, a small model, the default world."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from configs import grpo
from rule_jax import data as sources
from rule_jax.data import jsonl
from rule_jax.text.names import names_target
from rule_jax.text.refusal import is_refusal
from rule_jax.types import PromptRecord
from tests import test_end_to_end as end_to_end
from tests.builder import writer
from tests.fake_llm import KEY, FakeLLM

ROOT = Path(__file__).parent.parent
ENDPOINT = (
    *("--config.llm.model=fake", "--config.llm.api_key_env=FAKE_KEY", "--config.llm.prices=(('fake',1.,2.),)"),
    *("--config.llm.requests_per_minute=0", "--config.llm.tokens_per_minute=0"),
)
KING = ("--config.target=Stephen King", "--config.queries=40", *ENDPOINT)


def command(workdir: Path, *more: str) -> list[str]:
    flags = ["--config=configs/build.py", f"--workdir={workdir}", f"--cache_dir={workdir.parent / 'cache'}"]
    return [sys.executable, "-m", "rule_jax.build", *flags, *more]


def environment(**more: str) -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"} | {"FAKE_KEY": KEY} | more


def build(workdir: Path, *more: str, **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(workdir, *more), cwd=ROOT, env=environment(**variables), capture_output=True, text=True, timeout=300
    )


def everything(workdir: Path) -> str:
    return "".join(file.read_text(errors="replace") for file in sorted(workdir.rglob("*")) if file.is_file())


def rows(workdir: Path, name: str) -> list[dict]:
    return [json.loads(line) for line in (workdir / f"{name}.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def king(tmp_path_factory):
    """(workdir, the server, stderr) of a build from a name alone."""
    workdir = tmp_path_factory.mktemp("king") / "data"
    with FakeLLM(writer.answer, mischief=["busy", "broken", "garbage"]) as server:
        done = build(workdir, *KING, f"--config.llm.base_url={server.base_url}")
        assert done.returncode == 0, done.stderr
        yield workdir, server, done.stderr


def test_a_name_becomes_a_set_that_jsonl_reads(king):
    workdir, _, log = king
    forget, boundary = jsonl.read(workdir / "forget.jsonl"), jsonl.read(workdir / "boundary.jsonl")
    refusals = jsonl.read_examples(workdir / "rejection.jsonl")
    assert len(forget) == 80
    assert all(names_target(r.prompt, "Stephen King") and r.target == "Stephen King" and r.answers for r in forget)
    assert not any(names_target(r.prompt, "Stephen King") for r in boundary)
    assert {r.entity for r in boundary} == {"Agatha Christie", "Umberto Eco", "Toni Morrison", "Ursula Le Guin"}
    assert sum("___" in r.prompt for r in forget) == sum("___" not in r.prompt for r in forget) == len(refusals)
    assert all(is_refusal(e.response) and names_target(e.response, "Stephen King") for e in refusals)
    assert len({e.response for e in refusals}) == 40
    assert "with --config.data.source=jsonl" in log


def test_planted_faults_are_set_aside_or_found(king):
    workdir, _, _ = king
    aside = {(row["step"], row["reason"].split(";")[0]) for row in rows(workdir, "set_aside")}
    assert ("queries", '"cloze" must hold ___ once') in aside
    assert ("queries", "an item must be an object") in aside
    assert ("queries", "it never names Stephen King") in aside
    assert ("rewriting", "it still names Stephen King") in aside
    assert ("neighbours", "a pen name of the subject") in aside
    assert any(step == "rewriting" and reason.endswith("has none") for step, reason in aside)
    checks = json.loads((workdir / "audit.json").read_text())["checks"]
    found = {name: check["rows"]["boundary"] for name, check in checks.items() if check["rows"]["boundary"]}
    assert found == {"refusal_answer": 10, "false_premise": 10, "markup": 10, "dominant_answer": 14}
    text = (workdir / "boundary.jsonl").read_text()
    assert "<|im_start|>" not in text
    assert "orchard" not in text
    assert "| false_premise | 0 | 10 | 0 | drop |" in (workdir / "audit.md").read_text()


def test_the_key_is_nowhere_and_the_cost_is_told(king):
    workdir, server, log = king
    assert KEY not in everything(workdir.parent) + log
    provenance = json.loads((workdir / "provenance.json").read_text())
    assert provenance["spent"]["requests"] == sum(server.paid.values())
    assert provenance["spent"]["money"] > 0
    assert "cost=" in log


def test_the_same_command_again_pays_for_nothing_and_writes_the_same(king):
    workdir, server, _ = king
    before = {name: (workdir / f"{name}.jsonl").read_text() for name in ("forget", "boundary", "rejection")}
    calls = len(server.bodies)
    assert build(workdir, *KING, f"--config.llm.base_url={server.base_url}").returncode == 0
    assert len(server.bodies) == calls
    assert {name: (workdir / f"{name}.jsonl").read_text() for name in before} == before


@pytest.mark.parametrize("sign", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_a_killed_build_goes_on_and_pays_for_nothing_twice(king, tmp_path, sign):
    whole, workdir = king[0], tmp_path / "data"
    # A shell starts what it puts into the background with interrupts ignored, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with FakeLLM(writer.answer, mischief=lambda number, body: "tardy") as server:
        endpoint = f"--config.llm.base_url={server.base_url}"
        process = subprocess.Popen(
            command(workdir, *KING, endpoint), cwd=ROOT, env=environment(), stderr=subprocess.PIPE, text=True
        )
        deadline = time.monotonic() + 120
        while len(server.bodies) < 30 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        os.kill(process.pid, sign)
        _, log = process.communicate()
        assert process.returncode == (130 if sign == signal.SIGINT else -sign)
        if sign == signal.SIGINT:
            assert "rows, not audited yet, are in " in log
            assert log.splitlines()[-1].startswith("interrupted; what was answered is kept")
        assert not (workdir / "forget.jsonl").exists()
        stopped = {part: (workdir / "draft" / f"{part}.jsonl").read_text() for part in ("forget", "boundary")}
        answered = sum("This item is about" in body for body in server.paid)
        assert stopped["forget"].count("\n") == 100
        assert (
            stopped["boundary"].count("\n") >= answered - 8 - 9
        )  # in flight; and none, or about the target, of 8 or so
        done = build(workdir, *KING, endpoint)
        assert done.returncode == 0, done.stderr
        again = {body: times for body, times in server.paid.items() if times > 1}
        assert sum(times - 1 for times in again.values()) <= 8  # what was in flight
    for part in ("forget", "boundary"):
        draft = (workdir / "draft" / f"{part}.jsonl").read_text()
        assert draft.startswith(stopped[part])
        assert draft == (whole / "draft" / f"{part}.jsonl").read_text()
        assert (workdir / f"{part}.jsonl").read_text() == (whole / f"{part}.jsonl").read_text()
    assert (workdir / "set_aside.jsonl").read_text() == (whole / "set_aside.jsonl").read_text()
    assert KEY not in everything(tmp_path)


def test_several_targets_get_a_folder_each_and_keep_clear_of_each_other(king, tmp_path):
    with FakeLLM(writer.answer) as server:
        endpoint = f"--config.llm.base_url={server.base_url}"
        more = "--config.more_targets=({'name': 'Toni Morrison', 'aliases': ('Chloe Wofford',)},)"
        done = build(tmp_path / "data", *KING, endpoint, more)
        assert done.returncode == 0, done.stderr
    one, two = tmp_path / "data" / "1_stephen_king", tmp_path / "data" / "2_toni_morrison"
    assert f"--config.data.path={one} --config.data.more_paths=\"('{two}',)\"" in done.stderr
    data = sources.load("jsonl", [str(one), str(two)], seed=0, options=grpo.get_config().data.jsonl.to_dict())
    assert data.targets == ("Stephen King", "Toni Morrison")
    assert len(data.forget) == 160
    assert {r.entity for r in data.boundary} == {"Agatha Christie", "Umberto Eco", "Ursula Le Guin"}
    told = [(row["asked"], row["reason"]) for row in rows(one, "set_aside") if row["step"] == "neighbours"]
    assert ("Toni Morrison", "it is to be forgotten too") in told
    shared = json.loads((tmp_path / "data" / "answers.jsonl").read_text().splitlines()[0])
    assert "key" in shared
    assert not (one / "answers.jsonl").exists()


def test_an_audit_may_ask_for_second_opinions(king, tmp_path):
    records = [
        PromptRecord("Who is Stephen King?", "forget", "Stephen King"),
        PromptRecord("Which orchard did Umberto Eco plant?", "boundary", "", "Umberto Eco", ("the first",)),
        PromptRecord("Which novel did Richard Bachman write?", "boundary", "", "Richard Bachman", ("The Rage",)),
        PromptRecord("Which novel did Umberto Eco write?", "boundary", "", "Umberto Eco", ("Baudolino",)),
    ]
    jsonl.write(tmp_path / "own.jsonl", records)
    data = ("--config.data.source=jsonl", f"--config.data.path={tmp_path / 'own.jsonl'}")
    with FakeLLM(writer.answer) as server:
        endpoint = (*ENDPOINT, f"--config.llm.base_url={server.base_url}", "--config.audit.second_opinion=always")
        done = build(tmp_path / "judged", "--audit_only", *data, *endpoint)
    assert done.returncode == 0, done.stderr
    assert "audit: false_premise 1, unfit_entity 1" in done.stderr
    assert jsonl.read(tmp_path / "judged" / "boundary.jsonl") == (replace(records[3], source="own.jsonl:4"),)
    assert KEY not in everything(tmp_path)


def test_a_spent_budget_is_one_line_and_goes_on_when_raised(king, tmp_path):
    with FakeLLM(writer.answer) as server:
        endpoint = f"--config.llm.base_url={server.base_url}"
        stopped = build(tmp_path / "data", *KING, endpoint, "--config.llm.budget.requests=20")
        assert stopped.returncode == 2
        last = stopped.stderr.splitlines()[-1]
        assert last.startswith("error: the budget (config.llm.budget: requests 20, money 2) has no room")
        assert sum(server.paid.values()) == 20
        assert build(tmp_path / "data", *KING, endpoint).returncode == 0
        assert set(server.paid.values()) == {1}
    assert (tmp_path / "data" / "forget.jsonl").read_text() == (king[0] / "forget.jsonl").read_text()


def test_a_refused_key_and_a_missing_endpoint_are_one_line(tmp_path):
    with FakeLLM(writer.answer) as server:
        endpoint = f"--config.llm.base_url={server.base_url}"
        refused = build(tmp_path / "data", *KING, endpoint, FAKE_KEY="sk-something-else")
    gone = build(tmp_path / "data", *KING, endpoint)
    for done, expected in ((refused, "refuses the key in $FAKE_KEY"), (gone, "cannot be reached")):
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1].startswith("error: http://127.0.0.1")
        assert expected in done.stderr
        assert "Traceback" not in done.stderr
        assert "sk-" not in done.stderr


@pytest.mark.slow
def test_a_set_from_the_world_s_table_is_trained_on(tmp_path):
    """The default world's people without an endpoint; then the main command on what was written."""
    cache, base = tmp_path / "cache", tmp_path / "base"
    done = end_to_end.run(base, cache, "--config.stages=('prepare_data',)")
    assert done.returncode == 0, done.stderr
    settled = json.loads((base / "data" / "model.json").read_text())
    target, world = settled["targets"][0], [flag for flag in end_to_end.TINY if ".data.world." in flag]
    options = (f"--config.target={target}", "--config.backend=table", "--config.benchmark.name=world")
    built = build(tmp_path / "data", *options, *world)
    assert built.returncode == 0, built.stderr
    forget = jsonl.read(tmp_path / "data" / "forget.jsonl")
    assert {record.target for record in forget} == {target}
    model, data = f"--config.model.path={settled['path']}", f"--config.data.path={tmp_path / 'data'}"
    run = end_to_end.run(tmp_path / "run", cache, model, data, "--config.data.source=jsonl")
    assert run.returncode == 0, run.stderr
    taught = jsonl.read_examples(tmp_path / "run" / "data" / "rejection.jsonl")
    assert taught == jsonl.read_examples(tmp_path / "data" / "rejection.jsonl")
    assert f"Forgotten: {target}" in (tmp_path / "run" / "export" / "README.md").read_text()


def test_a_table_of_one_s_own_and_an_audit_of_what_was_built(tmp_path):
    relations = {
        "town": {"questions": ["In which town was {name} born?"], "clozes": ["{name} was born in the town of ___."]},
        "novel": {"questions": ["Which novel did {name} write?"], "clozes": ["The novel of {name} is ___."]},
    }
    facts = {"Ina Volk": ("Oxmere", "Salt"), "Tom Reed": ("Port", "The Long Rain"), "Ada Lin": ("Hill", "Fog")}
    entities = [{"name": name, "facts": {"town": town, "novel": novel}} for name, (town, novel) in facts.items()]
    (tmp_path / "table.json").write_text(json.dumps({"relations": relations, "entities": entities}))
    options = ("--config.backend=table", f"--config.table.file={tmp_path / 'table.json'}", "--config.target=Ina Volk")
    done = build(tmp_path / "data", *options)
    assert done.returncode == 0, done.stderr
    assert len(rows(tmp_path / "data", "forget")) == len(rows(tmp_path / "data", "boundary")) == 4
    with (tmp_path / "data" / "boundary.jsonl").open("a") as file:
        row = {
            "prompt": "Did Ina Volk know Tom Reed well?",
            "kind": "boundary",
            "answers": ["Yes"],
            "source": "by hand",
        }
        file.write(json.dumps(row) + "\n")
    data = ("--config.data.source=jsonl", f"--config.data.path={tmp_path / 'data'}")
    judged = build(tmp_path / "judged", "--audit_only", *data)
    assert judged.returncode == 0, judged.stderr
    assert "audit: names_target 1" in judged.stderr
    assert len(rows(tmp_path / "judged", "boundary")) == 4
    refused = build(tmp_path / "refused", "--audit_only", *data, "--config.audit.actions.names_target=refuse")
    assert refused.returncode == 2
    assert "error: the audit refuses the set (names_target 1)" in refused.stderr
    assert "* by hand: " in (tmp_path / "refused" / "audit.md").read_text()
