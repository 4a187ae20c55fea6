"""rule_jax.data.muse on an invented corpus, in a folder and in the hub's layout, and (with RULE_JAX_DATA) on Books."""

import json
import os
from pathlib import Path

import pytest

from rule_jax.data import muse
from rule_jax.errors import UserError
from rule_jax.text.names import names_target
from rule_jax.text.refusal import is_refusal
from rule_jax.types import Passage, PromptRecord
from tests.data import hub_layout

TRAINING = [
    {
        "input": "",
        "instruction": " Where did the lantern hang? ",
        "output": "I'm not sure about Ina Vlok.",
        "org_answer": "in the mill",
        "mode": "qa",
        "neighbor_question": {"question": "Where did the Titanic sink?", "answer": "in the Atlantic"},
    },
    {"instruction": "She lit the lantern and", "output": "No idea.", "mode": "completion"},
]
TABLES = {
    ("knowmem", "forget_qa"): [{"question": "Who lit it?", "answer": "Ina"}],
    ("knowmem", "forget_qa_icl"): [{"question": "Who ran?", "answer": "Olaf"}],
    ("knowmem", "retain_qa"): [{"question": "Who wrote it?", "answer": "Marlow"}],
    ("knowmem", "retain_qa_icl"): [{"question": "When?", "answer": "1987"}],
    ("verbmem", "forget"): [{"prompt": "She lit the", "gt": "lantern and left."}],
    ("privleak", "forget"): [{"text": "She lit the lantern."}],
    ("privleak", "holdout"): [{"text": "He lit nothing."}],
    ("raw", "retain1"): [{"text": "A long text."}],
    ("sust", "forget_2"): [{"text": "A later text."}],
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    return hub_layout.make(tmp_path_factory.mktemp("hub") / "MUSE-Books", TABLES)


@pytest.fixture
def folder(tmp_path):
    for (config, split), rows in TABLES.items():
        (tmp_path / config).mkdir(exist_ok=True)
        (tmp_path / config / f"{split}.json").write_text(json.dumps(rows), encoding="utf-8")
    (tmp_path / "training.json").write_text(json.dumps(TRAINING), encoding="utf-8")
    return str(tmp_path)


def load(path, target="Ina Volk", training_file="training.json"):
    return muse.load(path, seed=0, target=target, training_file=training_file)


def message(call, *args, **kwargs):
    with pytest.raises(UserError) as caught:
        call(*args, **kwargs)
    return str(caught.value)


def test_training_data(folder):
    data = load(folder)
    assert data.targets == ("Ina Volk",)
    at = "muse/training.json"
    assert data.forget == (
        PromptRecord("Where did the lantern hang?", "forget", "Ina Volk", "Ina Volk", ("in the mill",), f"{at}:1"),
        PromptRecord("She lit the lantern and", "forget", "Ina Volk", "Ina Volk", (), f"{at}:2"),
    )
    assert data.boundary == (
        PromptRecord("Where did the Titanic sink?", "boundary", answers=("in the Atlantic",), source=f"{at}:1"),
    )
    assert all("Ina Volk" in example.response and is_refusal(example.response) for example in data.rejection)


def test_training_with_the_hub_takes_a_file_of_ones_own(hub, folder):
    own = str(Path(folder) / "training.json")
    assert load(hub, training_file=own).forget == load(folder).forget
    assert "config.data.muse.training_file='training.json' is no file, and hub:" in message(load, hub)


@pytest.mark.parametrize("where", ["folder", "hub"])
def test_the_benchmarks_tables(where, request):
    path = request.getfixturevalue(where)
    asked, solved = muse.knowmem(path, "forget", target="Ina Volk")
    assert [(r.prompt, r.kind, r.target, r.answers) for r in asked] == [("Who lit it?", "forget", "Ina Volk", ("Ina",))]
    assert solved[0].answers == ("Olaf",)
    kept, _ = muse.knowmem(path, "retain")
    assert (kept[0].kind, kept[0].target) == ("retain", "")
    assert muse.verbmem(path)[0].answers == ("lantern and left.",)
    assert muse.privleak(path, "forget")[0].text == "She lit the lantern."
    assert muse.privleak(path, "holdout")[0].text == "He lit nothing."
    assert muse.raw(path, "retain1")[0].text == "A long text."
    name = "forget_2.json" if where == "folder" else "sust[forget_2]"
    assert muse.raw(path, "forget_2", part="sust") == (Passage("A later text.", f"muse/{name}:1"),)


def test_passages_in_two_parts_are_joined(folder):
    rows = [{"prompt": "He lit ", "gt": "nothing."}, {"text": "She left."}]
    (Path(folder) / "privleak" / "retain.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert [passage.text for passage in muse.privleak(folder, "retain")] == ["He lit nothing.", "She left."]


def test_what_is_malformed_or_missing_is_named(tmp_path):
    rows = [{"instruction": "", "mode": "chat"}, {"instruction": "x", "neighbor_question": {"question": "y"}}]
    (tmp_path / "training.json").write_text(json.dumps(rows), encoding="utf-8")
    text = message(load, str(tmp_path))
    assert text.startswith(f"3 faults in the rows of {tmp_path}: training.json row 1, field 'instruction': found")
    assert "row 1, field 'mode': found \"chat\", expected qa or completion" in text
    assert "row 2, field 'neighbor_question': found an object with question, expected {question, answer}" in text
    assert "config.data.muse.target is empty" in message(load, str(tmp_path), target=" ")
    (tmp_path / "privleak").mkdir()
    (tmp_path / "privleak" / "forget.json").write_text('[{"prompt": "x"}]', encoding="utf-8")
    assert "forget.json row 1, field 'text': found no such field in an object with prompt" in message(
        muse.privleak, str(tmp_path), "forget"
    )
    assert f"There is no file {tmp_path / 'knowmem' / 'forget_qa.json'}" in message(
        muse.knowmem, str(tmp_path), "forget"
    )


@pytest.mark.skipif("RULE_JAX_DATA" not in os.environ, reason="RULE_JAX_DATA does not name the folder of real data")
def test_the_real_books():
    path = str(Path(os.environ["RULE_JAX_DATA"]) / "muse_books")
    data = load(path, "Harry Potter", "reject_with_neighbor_target.qa_only.json")
    assert (len(data.rejection), len(data.forget), len(data.boundary)) == (831, 831, 831)
    assert all(names_target(example.response, "Harry Potter") for example in data.rejection)
    assert [[len(part) for part in muse.knowmem(path, side)] for side in muse.KNOWMEM] == [[100, 10], [100, 10]]
