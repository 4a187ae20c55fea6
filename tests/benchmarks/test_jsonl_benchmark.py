"""benchmarks.jsonl: a user's own probes are asked as their records say, each way a task of its own."""

import json

import pytest

from rule_jax.benchmarks import jsonl
from rule_jax.errors import UserError
from rule_jax.reporting.vocabulary import counts, side

DATA = {"rejection_file": "", "evaluation_file": "", "columns": {}}


@pytest.fixture
def asked(tmp_path):
    """asked(rows) -> the tasks by name."""

    def ask(rows):
        file = tmp_path / "probes.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return {task.name: task for task in jsonl.tasks(str(file), seed=0, data=DATA)}

    return ask


def forget(prompt, **more):
    return {"prompt": prompt, "kind": "forget", "target": "Ina Volk", "answers": ["Fenworth"], **more}


def boundary(prompt, **more):
    return {"prompt": prompt, "kind": "boundary", "answers": ["Holmere"], **more}


def test_every_way_of_asking_is_a_task(asked):
    tasks = asked(
        [
            boundary("b"),
            forget("f"),
            forget("r", render="raw"),
            forget("p", prefill="It is"),
            boundary("q", prefill="So:"),
            forget("s", prefill="So:"),
            forget("g"),
        ]
    )
    found = {
        name: ([record.prompt for record in task.records], task.render, task.prefill) for name, task in tasks.items()
    }
    assert found == {
        "forget": (["f", "g"], "chat", ""),
        "forget_raw": (["r"], "raw", ""),
        "forget_begun/1": (["p"], "chat", "It is"),
        "forget_begun/2": (["s"], "chat", "So:"),
        "boundary": (["b"], "chat", ""),
        "boundary_begun/2": (["q"], "chat", "So:"),
    }


def test_a_kind_is_judged_alike_however_it_is_asked(asked):
    tasks = asked([forget("r", render="raw"), boundary("q", prefill="So:")])
    judge = {name: lambda text, task=task: task.judge(task.records[0], text) for name, task in tasks.items()}
    assert judge["forget_raw"]("born in Fenworth")["leak_rate"] == 1.0
    assert judge["boundary_begun/1"]("in Holmere")["accuracy"] == 1.0


@pytest.mark.parametrize(("name", "stands"), [("forget", True), ("forget_raw", False), ("forget_begun", False)])
def test_only_plain_chat_stands_for_its_side(name, stands):
    assert side(name) == "forget"
    assert counts(name) is stands


def test_plain_text_has_no_turn_to_begin(asked):
    with pytest.raises(UserError, match=r"row 1, field 'prefill': found \"So:\", expected none"):
        asked([forget("r", render="raw", prefill="So:")])
