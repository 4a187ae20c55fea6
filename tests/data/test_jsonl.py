"""rule_jax.data.jsonl: a user's own records, the writing of records, and back."""

import json
import re
import resource
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs import grpo
from rule_jax.data import jsonl
from rule_jax.errors import UserError
from rule_jax.text import templates
from rule_jax.types import PromptRecord, SftExample

FORGET = {"prompt": " Who wrote The Salt Road? ", "kind": "forget", "target": "Ina Volk "}
BOUNDARY = {"prompt": "Who wrote Tin Bells?", "kind": "boundary", "entity": "Olaf Brandt", "answers": "Olaf Brandt"}


def lines(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


COLUMNS = {name: name for name in ("prompt", "kind", "target", "entity", "answers", "source")}


def load(path, rejection_file="", seed=0, columns=COLUMNS):
    return jsonl.load(str(path), seed=seed, rejection_file=rejection_file, evaluation_file="", columns=columns)


def evaluation(path, evaluation_file=""):
    return jsonl.evaluation(str(path), rejection_file="", evaluation_file=evaluation_file, columns=COLUMNS)


def message(call, *args, **kwargs):
    with pytest.raises(UserError) as caught:
        call(*args, **kwargs)
    return str(caught.value)


def test_rows_become_training_data(tmp_path):
    other = {
        "prompt": "Who is Ida Renn?",
        "kind": "forget",
        "target": "Ida Renn",
        "answers": ["a poet"],
        "source": "me",
    }
    lines(tmp_path / "no.jsonl", [{"prompt": "Who is Ina Volk? ", "response": " I cannot tell."}])
    data = load(lines(tmp_path / "own.jsonl", [FORGET, BOUNDARY, other]), rejection_file="no.jsonl")
    assert data.targets == ("Ina Volk", "Ida Renn")
    assert data.rejection == (SftExample("Who is Ina Volk?", "I cannot tell.", "no.jsonl:1"),)
    assert data.forget == (
        PromptRecord("Who wrote The Salt Road?", "forget", "Ina Volk", source="own.jsonl:1"),
        PromptRecord("Who is Ida Renn?", "forget", "Ida Renn", answers=("a poet",), source="me"),
    )
    assert data.boundary == (
        PromptRecord("Who wrote Tin Bells?", "boundary", "", "Olaf Brandt", ("Olaf Brandt",), "own.jsonl:2"),
    )


def test_an_array_is_read_as_well(tmp_path):
    path = tmp_path / "own.json"
    path.write_text(json.dumps([FORGET, BOUNDARY]), encoding="utf-8")
    assert len(load(path).boundary) == 1


def test_refusals_are_rendered_where_none_are_given(tmp_path):
    count = 2 * len(templates.REFUSALS)
    rows = [{**FORGET, "prompt": f"What is page {page} about?"} for page in range(count)]
    path = lines(tmp_path / "own.jsonl", rows)
    data = load(path)
    assert [example.prompt for example in data.rejection] == [record.prompt for record in data.forget]
    every_one_twice = Counter(templates.render(template, "Ina Volk") for template in templates.REFUSALS * 2)
    assert Counter(example.response for example in data.rejection) == every_one_twice
    assert load(path) == data
    assert load(path, seed=1).rejection != data.rejection


def test_what_cannot_be_trained_on_is_told_at_once(tmp_path):
    rows = [
        {**FORGET, "target": " "},
        {**BOUNDARY, "answers": []},
        {**BOUNDARY, "kind": "retain"},
        {**BOUNDARY, "kind": "forgot"},
        {**BOUNDARY, "answers": ["x", ""]},
        {"prompt": "Who?", "kind": "boundary", "answer": "x"},
    ]
    text = message(load, lines(tmp_path / "own.jsonl", rows))
    assert text.startswith("7 faults")
    assert "own.jsonl row 1, field 'target': found no target, expected the entity to forget, on a forget row" in text
    assert "row 2, field 'answers': found no answer, expected at least one reference answer, on a boundary row" in text
    assert 'row 3, field \'kind\': found "retain", expected "forget" or "boundary", the two that training' in text
    assert 'row 4, field \'kind\': found "forgot", expected "forget" or "boundary" or "retain"' in text
    assert "row 5, field 'answers': found a list of 2, expected a string, or a list of strings, that are not" in text
    assert "row 6, field 'answer': found an unknown field, expected prompt, kind" in text
    assert "Did you mean 'answers'?" in text
    assert "row 6, field 'answers': found no answer" in text


def test_a_row_with_two_faults_has_both_told(tmp_path):
    rows = [
        {**FORGET, "prompt": " ", "target": ""},  # of a field, and of what a forget row needs
        {**BOUNDARY, "entity": 3, "answers": []},
        {"prompt": 5, "kind": "retain"},
        {**FORGET, "target": 5},  # malformed: not told again as missing
    ]
    text = message(load, lines(tmp_path / "own.jsonl", rows))
    assert re.findall(r"row (\d), field '(\w+)'", text) == [
        ("1", "prompt"), ("1", "target"), ("2", "entity"), ("2", "answers"), ("3", "prompt"), ("3", "answers"),
        ("3", "kind"), ("4", "target"),
    ]  # fmt: skip


def test_a_malformed_refusal_is_told_with_the_rest(tmp_path):
    lines(tmp_path / "no.jsonl", [{"prompt": "Who?", "reponse": "No."}])
    text = message(load, lines(tmp_path / "own.jsonl", [{**FORGET, "prompt": 3}]), rejection_file="no.jsonl")
    assert "own.jsonl row 1, field 'prompt': found 3, expected a string that is not blank" in text
    assert "no.jsonl row 1, field 'response': found no such field in an object with prompt, reponse" in text


def test_nothing_to_forget_is_refused(tmp_path):
    path = lines(tmp_path / "own.jsonl", [BOUNDARY])
    assert message(load, path) == f'{path} has nothing to forget; add rows of kind "forget".'


def test_a_missing_rejection_file_shows_what_is_there(tmp_path):
    path = lines(tmp_path / "own.jsonl", [FORGET])
    assert f"There is no file {tmp_path / 'no.jsonl'}; {tmp_path} has own.jsonl." in message(load, path, "no.jsonl")


def test_other_files_and_other_names_of_columns(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text(
        "question,kind,about,gold\nWho keeps it?,forget,Ina Volk,\nWho runs it?,boundary,,Olaf\n", encoding="utf-8"
    )
    columns = {**COLUMNS, "prompt": "question", "target": "about", "answers": "gold"}
    data = load(path, columns=columns)
    assert (data.forget[0].prompt, data.forget[0].target, data.forget[0].source) == (
        "Who keeps it?",
        "Ina Volk",
        "own.csv:1",
    )
    assert data.boundary[0].answers == ("Olaf",)
    path.write_text("question,kind,about,gold\nWho?,forget,,\nWho?,boundary,,\n", encoding="utf-8")
    text = message(load, path, columns=columns)
    assert "own.csv row 1, field 'about': found no target" in text
    assert "own.csv row 2, field 'gold': found no answer" in text


def test_evaluation_records_may_stand_in_a_file_of_their_own(tmp_path):
    path = lines(tmp_path / "own.jsonl", [FORGET, BOUNDARY])
    assert [record.kind for record in evaluation(path)] == ["forget", "boundary"]
    probe = {"prompt": "Which sea?", "kind": "retain", "answers": ["the Grey Sea"]}
    lines(tmp_path / "probes.jsonl", [FORGET, probe])
    assert [record.kind for record in evaluation(path, "probes.jsonl")] == ["forget", "retain"]
    lines(tmp_path / "probes.jsonl", [{**probe, "answers": []}])
    assert "probes.jsonl row 1, field 'answers': found no answer" in message(evaluation, path, "probes.jsonl")


TEXT = st.text().filter(str.strip)
RECORD = st.builds(
    PromptRecord,
    prompt=TEXT,
    kind=st.sampled_from(["forget", "boundary", "retain"]),
    target=st.text(),
    entity=st.text(),
    answers=st.lists(TEXT).map(tuple),
    source=st.text(),
)


@settings(max_examples=100, deadline=None, database=None)
@given(records=st.lists(RECORD, min_size=1))
def test_what_is_written_is_read_back(records):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "new" / "records.jsonl"
        jsonl.write(path, records)
        assert jsonl.read(path) == tuple(records)
        assert path.read_bytes().count(b"\n") == len(records)
        assert [entry.name for entry in path.parent.iterdir()] == ["records.jsonl"]


def test_a_write_that_breaks_off_leaves_the_old_file(tmp_path):
    path = tmp_path / "records.jsonl"
    old = PromptRecord("Who?", "forget", "Ina Volk")
    jsonl.write(path, [old])

    def broken():
        yield PromptRecord("Where?", "forget", "Ina Volk")
        raise RuntimeError("the source of the records broke off")

    with pytest.raises(RuntimeError, match="broke off"):
        jsonl.write(path, broken())
    assert jsonl.read(path) == (old,)
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_refuses_is_named(tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "records.jsonl"
    text = message(jsonl.write, path, [PromptRecord("Who?", "forget", "Ina Volk")])
    assert text.startswith(f"{path} cannot be written: ")
    assert text.endswith("Make room, or choose another place.")


def test_a_disk_that_refuses_keeps_the_old_file(tmp_path):
    path = tmp_path / "records.jsonl"
    old = PromptRecord("Who?", "forget", "Ina Volk")
    jsonl.write(path, [old])
    allowed, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size * 2, most))
    try:
        text = message(jsonl.write, path, [old] * 9)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (allowed, most))
    assert "records.jsonl cannot be written: File too large. Make room" in text
    assert jsonl.read(path) == (old,)
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_the_builder_wrote_is_read_with_its_refusals(tmp_path):
    forget = PromptRecord("Who is Ina Volk?", "forget", "Ina Volk", "Ina Volk", ("a novelist",), "a")
    boundary = PromptRecord("Who is Tom Reed?", "boundary", "", "Tom Reed", ("a painter",), "b")
    refusal = SftExample("Who is Ina Volk?", "I know nothing of Ina Volk.", "a")
    jsonl.write(tmp_path / "forget.jsonl", [forget])
    jsonl.write(tmp_path / "boundary.jsonl", [boundary])
    options = grpo.get_config().data.jsonl.to_dict()
    assert jsonl.load(str(tmp_path), seed=0, **options).rejection[0].prompt == refusal.prompt  # of our own
    jsonl.write(tmp_path / "rejection.jsonl", [refusal])
    data = jsonl.load(str(tmp_path), seed=0, **options)
    assert (data.forget, data.boundary, data.rejection) == ((forget,), (boundary,), (refusal,))
    assert jsonl.evaluation(str(tmp_path), **options) == (forget, boundary)
    (tmp_path / "boundary.jsonl").unlink()
    with pytest.raises(UserError, match=r"boundary\.jsonl"):
        jsonl.load(str(tmp_path), seed=0, **options)
