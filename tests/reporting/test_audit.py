"""The erasure record: it holds what it should, and nothing of what it speaks of can be changed unseen."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rule_jax import files
from rule_jax.errors import UserError
from rule_jax.reporting import audit, page
from rule_jax.reporting.data import collect
from tests.reporting.synthetic import TARGETS, edit, make_run

ROOT, FINAL = Path(__file__).parents[2], "boundary_optimization"


@pytest.fixture
def run(tmp_path):
    """A finished run with data, a base model and an export, recorded."""
    workdir = make_run(tmp_path / "run", report={"request_id": "GDPR-17"})
    for name, count in (("rejection", 2), ("forget", 3), ("boundary", 1)):
        (workdir / "data").mkdir(exist_ok=True)
        (workdir / "data" / f"{name}.jsonl").write_text('{"prompt": "?"}\n' * count)
    for place, weights in ((tmp_path / "model", b"before"), (workdir / "export", b"after")):
        place.mkdir()
        (place / "model.safetensors").write_bytes(weights)
        (place / "config.json").write_text("{}")
        (place / "README.md").write_text("prose is not the model")
    (workdir / "data" / "model.json").write_text(json.dumps({"path": str(tmp_path / "model")}))
    report = collect(workdir)
    audit.write(workdir, report)
    files.write_json(workdir / "report" / "metrics.json", report)
    return workdir


def test_the_record_says_what_was_erased_and_how_well(run):
    found = json.loads((run / "report" / "audit.json").read_text())
    assert (found["request_id"], found["targets"]) == ("GDPR-17", list(TARGETS))
    assert {name: part and part["records"] for name, part in found["data"].items()} == {
        "rejection": 2,
        "forget": 3,
        "boundary": 1,
        "retain": None,
        "own_words": None,
        "recalled": None,
    }
    # sha256 of b"before" and b"after", by coreutils
    before, after = (found["models"][name]["files"] for name in ("before", "after"))
    assert before["model.safetensors"][:16] == "6db7d803e74f1ffa"
    assert after["model.safetensors"][:16] == "f39592393ef0859c"
    assert set(before) == {"model.safetensors", "config.json"}
    assert found["limits"] == {"refused_from": 0.95, "leaks_up_to": 0.02, "kept_from": 0.95}
    assert found["metrics"]["base"]["forget"] == {
        "refusal_rate": 0.0,
        "leak_rate": 0.875,
        "names_target_rate": 1.0,
        "n": 8,
    }
    assert found["decision"]["model"] == FINAL
    assert found["decision"]["headline"].startswith("Refused in every chat test; other knowledge is damaged")
    assert audit.verify(run) == []


def test_a_request_without_a_number_gets_one_that_repeats(tmp_path):
    ids = []
    for name in ("one", "two"):
        audit.write(make_run(tmp_path / name), collect(tmp_path / name))
        ids.append(json.loads((tmp_path / name / "report" / "audit.json").read_text())["request_id"])
    assert ids[0] == ids[1]
    assert len(ids[0]) == 16


def test_a_second_report_leaves_the_record(run):
    before = (run / "report" / "audit.json").read_bytes()
    edit(run / "evaluate" / FINAL / "metrics.json", lambda table: table["forget"].update(leak_rate=0.5))
    page.write(run)
    assert (run / "report" / "audit.json").read_bytes() == before
    shown = json.loads((run / "report" / "metrics.json").read_text())["erasure"]
    assert shown["record_sha256"] == json.loads(before)["record_sha256"]
    assert any("leak_rate is 0.5, recorded was 0" in line for line in audit.verify(run))


def append(file):
    return lambda run: (run / file).write_text((run / file).read_text() + '{"prompt": "more"}\n')


def answers_judged_otherwise(run):
    path = run / "evaluate" / FINAL / "generations.jsonl"
    path.write_text(path.read_text().replace('"accuracy": 0.0', '"accuracy": 1.0'))


def tamper_record(change):
    return lambda run: edit(run / "report" / "audit.json", change)


TAMPERED = {
    "data": (append("data/forget.jsonl"), ["data/forget.jsonl is"]),
    "data gone": (lambda run: (run / "data" / "boundary.jsonl").unlink(), ["data/boundary.jsonl is not there"]),
    "config": (lambda run: edit(run / "config.json", lambda c: c.update(seed=8)), ["config.json is"]),
    "the model before": (
        lambda run: (run.parent / "model" / "model.safetensors").write_bytes(b"other"),
        ["the model before: model.safetensors is"],
    ),
    "the model after": (
        lambda run: (run / "export" / "model.safetensors").write_bytes(b"other"),
        ["the model after: model.safetensors is"],
    ),
    "a file more": (
        lambda run: (run / "export" / "tokenizer.json").write_text("{}"),
        ["the model after: tokenizer.json is"],
    ),
    "the model before gone": (
        lambda run: (run.parent / "model").rename(run.parent / "elsewhere"),
        ["the model before cannot be checked"],
    ),
    "figures": (
        lambda run: edit(run / "evaluate" / FINAL / "metrics.json", lambda t: t["forget_raw"].update(leak_rate=0.0)),
        [f"evaluate/{FINAL}/metrics.json is", "forget_raw leak_rate is 0, recorded was 0.75"],
    ),
    "reported figures": (
        lambda run: edit(
            run / "report" / "metrics.json", lambda t: t["stages"]["base"]["neighbor"].update(accuracy=0.1)
        ),
        ["report/metrics.json, base: neighbor accuracy is 0.1, recorded was 1"],
    ),
    "answers": (
        answers_judged_otherwise,
        [f"evaluate/{FINAL}/generations.jsonl is", f"answers of {FINAL}: boundary accuracy is 1, recorded was 0.75"],
    ),
    "the record": (tamper_record(lambda r: r.update(request_id="GDPR-18")), ["the record itself was changed"]),
    "the record's limits": (
        tamper_record(lambda r: r["limits"].update(kept_from=0.5)),
        ["the record itself was changed", "the decision: by the record's limits its figures say"],
    ),
    "the record's figures": (
        tamper_record(lambda r: r["metrics"][FINAL]["neighbor"].update(accuracy=0.2)),
        ["the record itself was changed", "report/metrics.json", "the answers of"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERED)
def test_what_was_changed_is_named(run, name):
    change, expected = TAMPERED[name]
    change(run)
    lines = audit.verify(run)
    for words in expected:
        assert any(words in line for line in lines), lines


@pytest.mark.parametrize("name", ["data", "the model after", "figures"])
def test_nothing_else_is_named(run, name):
    """Every line is about the file that was changed."""
    change, _ = TAMPERED[name]
    change(run)
    about = {"data": "data/forget", "the model after": "the model after", "figures": f"evaluate/{FINAL}/metrics.json"}
    assert all(line.startswith(about[name]) for line in audit.verify(run))


def test_no_record_and_a_broken_one_are_told(run):
    record = run / "report" / "audit.json"
    record.write_text('{"schema": 1, "record_sha256": "x", "data": 3}')
    with pytest.raises(UserError, match="is malformed"):
        audit.verify(run)
    record.write_text('{"schema": 7}')
    with pytest.raises(UserError, match="no erasure record of schema 1"):
        audit.verify(run)
    record.unlink()
    with pytest.raises(UserError, match="has no audit"):
        audit.verify(run)


@pytest.mark.parametrize("part", ["data", "evaluation", "metrics"])
@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", ".."])
def test_a_record_that_points_elsewhere_is_not_followed(run, part, name):
    file = run / audit.FILE
    found = json.loads(file.read_text())
    found[part][name] = next(iter(found[part].values()))
    file.write_text(json.dumps(found))
    with pytest.raises(UserError, match="speaks of what is not in its run"):
        audit.verify(run)


def test_the_command_says_what_differs(run):
    def verify():
        line = [sys.executable, "-m", "rule_jax.report", "--verify", str(run)]
        return subprocess.run(line, cwd=ROOT, capture_output=True, text=True)

    done = verify()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"verify: {run} is as report/audit.json has it\n"
    append("data/forget.jsonl")(run)
    done = verify()
    assert done.returncode == 2
    first, last = done.stderr.splitlines()
    assert first.startswith("differs: data/forget.jsonl is ")
    assert "1 thing is not as report/audit.json has it" in last
