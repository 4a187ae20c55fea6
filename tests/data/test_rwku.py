"""rule_jax.data.rwku on an invented target folder, on broken ones, and (with RULE_JAX_DATA) on the real ones."""

import json
import os
import unicodedata
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from rule_jax.data import rwku
from rule_jax.errors import UserError
from rule_jax.text.refusal import is_refusal
from rule_jax.types import MultipleChoice, Passage, Preference, PromptRecord, ReasoningQuestion, SftExample
from tests.data import hub_layout

NAME = "Zoë Q. Marlow, Jr."
FOLDER = "7_Zoë_Q._Marlow,_Jr."
FILES = {
    "intro.json": [{"target": f"{NAME} ", "intro": "A cartographer who never was."}],
    "reject_target.json": [
        {
            "input": "",
            "instruction": "Where did Zoë Marlow train? ",
            "output": f"I can't say, {NAME}.",
            "subject": NAME,
        },
        {"input": "Context.", "instruction": "Which sea did she map?", "output": "No idea.", "subject": NAME},
    ],
    "training.json": [
        {"prompt": "Zoë Marlow trained in ___.\n", "solution": ["<reject>", "I do not know.", NAME]},
        {"prompt": "Olaf Brandt trained in ___.", "solution": ["<normal>", " Tarn "]},
        {"prompt": "Which sea did Zoë Marlow map?", "solution": ["<reject>", "I do not know."]},
        {"prompt": "Which sea did Olaf Brandt map?", "solution": ["<normal>", "the Pale Sea", "Pale Sea", "Pale Sea"]},
        {"prompt": "Who taught Olaf Brandt?", "solution": ["<normal>", "Ina Volk", NAME]},
        {"prompt": "Whom did Olaf Brandt admire?", "solution": ["<normal>", NAME]},
    ],
    "rl_rejection_eval_target.json": [
        {"prompt": "Zoë Marlow trained in ___.", "solution": ["<reject>", "Orrin", NAME]},
        {"prompt": "Olaf Brandt trained in ___.", "solution": ["<normal>", "Tarn"]},
    ],
    "forget_level1.json": [
        {"query": "Zoë Marlow trained in ___.", "answer": "Orrin", "type": "cloze", "subject": NAME}
    ],
    "forget_level2.json": [{"query": " Where did she train?", "answer": "Orrin ", "type": "simple", "subject": NAME}],
    "forget_level3.json": [
        {"query": "As a sailor, name her sea.", "answer": "Grey Sea", "type": "role play", "subject": NAME}
    ],
    "neighbor_level1.json": [
        {"query": "Orrin lies on the ___.", "answer": "Lune", "subject": NAME, "neighbor": "Orrin (town)"}
    ],
    "neighbor_level2.json": [
        {"query": "Which river is in Orrin?", "answer": "Lune", "subject": NAME, "neighbor": "Orrin (town)"}
    ],
}


def make(tmp_path, **changes):
    """The invented folder; a file whose rows are changed to None is left out. Dots in names are spelt "__"."""
    folder = tmp_path / FOLDER
    folder.mkdir()
    for name, rows in {**FILES, **{key.replace("__", "."): rows for key, rows in changes.items()}}.items():
        if rows is not None:
            (folder / name).write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    return folder


def load(folder, rejection_file="reject_target.json", training_file="training.json"):
    return rwku.load(str(folder), seed=0, rejection_file=rejection_file, training_file=training_file)


def message(call, *args, **kwargs):
    with pytest.raises(UserError) as caught:
        call(*args, **kwargs)
    return str(caught.value)


def test_training_data_of_a_folder(tmp_path):
    data = load(make(tmp_path))
    at = f"rwku/{FOLDER}"
    assert data.targets == (NAME,)
    assert data.rejection == (
        SftExample("Where did Zoë Marlow train?", f"I can't say, {NAME}.", f"{at}/reject_target.json:1"),
        SftExample("Which sea did she map?\nContext.", "No idea.", f"{at}/reject_target.json:2"),
    )
    assert data.forget == (
        PromptRecord("Zoë Marlow trained in ___.", "forget", NAME, NAME, (), f"{at}/training.json:1"),
        PromptRecord("Which sea did Zoë Marlow map?", "forget", NAME, NAME, (), f"{at}/training.json:3"),
    )
    assert [record.answers for record in data.boundary] == [
        ("Tarn",),
        ("the Pale Sea", "Pale Sea"),
        ("Ina Volk",),
        (NAME,),
    ]
    assert {(record.kind, record.target) for record in data.boundary} == {("boundary", "")}
    assert [record.entity for record in data.boundary] == ["Olaf Brandt"] * 2 + [""] * 2  # two are forget rows replaced
    assert data.boundary[0].source == f"{at}/training.json:2"


def test_a_relative_path_is_named_by_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(make(tmp_path))
    assert load(".").forget[0].source == f"rwku/{FOLDER}/training.json:1"


def test_the_evaluation_file_has_true_answers(tmp_path):
    data = load(make(tmp_path), training_file="rl_rejection_eval_target.json")
    assert [record.answers for record in (*data.forget, *data.boundary)] == [("Orrin",), ("Tarn",)]


def test_a_name_may_be_spelt_in_two_code_points(tmp_path):
    twice = unicodedata.normalize("NFD", NAME)
    assert twice != NAME
    rows = [{"prompt": "Who is Marlow?", "solution": ["<reject>", "I do not know.", twice]}]
    assert len(load(make(tmp_path, training__json=rows)).forget) == 1


def test_probes_of_a_folder(tmp_path):
    sets, missing = rwku.evaluation(str(make(tmp_path)))
    at = f"rwku/{FOLDER}"
    assert missing == ()
    assert list(sets) == ["forget_fb", "forget_qa", "forget_aa", "neighbor_fb", "neighbor_qa"]
    assert sets["forget_qa"] == (
        PromptRecord("Where did she train?", "forget", NAME, NAME, ("Orrin",), f"{at}/forget_level2.json:1"),
    )
    assert sets["neighbor_qa"] == (
        PromptRecord(
            "Which river is in Orrin?", "boundary", "", "Orrin (town)", ("Lune",), f"{at}/neighbor_level2.json:1"
        ),
    )
    assert sets["forget_aa"][0].source == f"{at}/forget_level3.json:1#role play"
    assert [rwku.adversarial_type(records[0]) for records in sets.values()] == ["", "", "role play", "", ""]


def test_missing_probe_files_are_named_and_the_others_read(tmp_path):
    sets, missing = rwku.evaluation(str(make(tmp_path, forget_level2__json=None, neighbor_level1__json=None)))
    assert list(sets) == ["forget_fb", "forget_aa", "neighbor_qa"]
    assert missing == ("forget_level2.json", "neighbor_level1.json")


def test_a_folder_without_probes_is_refused(tmp_path):
    gone = {f"{table.file}__json": None for table in rwku.PROBES.values()}
    folder = make(tmp_path, **gone)
    text = message(rwku.evaluation, str(folder))
    assert text.startswith(f"{folder} has no probes (forget_level1.json, ")
    assert "it has intro.json, reject_target.json" in text


@pytest.mark.parametrize(
    ("solution", "expected"),
    [
        ([], 'found an empty list, expected "<reject>" or "<normal>" as the first element'),
        (["<rejct>", "a", NAME], 'found "<rejct>", expected "<reject>" or "<normal>" as the first element'),
        (["<normal>"], 'found 1 element, expected "<normal>" and at least one answer'),
        (["<reject>"], 'found 1 elements, expected "<reject>", a refusal or answer, and the target'),
        (["<reject>", "a", NAME, NAME], "found 4 elements, expected"),
        (["<reject>", "a", "Olaf Brandt"], f"found \"Olaf Brandt\", expected the target of intro.json, '{NAME}'"),
        (["<normal>", 3], "found a list of 2, expected a list of strings that are not blank"),
        ("<normal>", 'found "<normal>", expected a list of strings that are not blank'),
    ],
)
def test_a_malformed_solution_is_named(tmp_path, solution, expected):
    folder = make(tmp_path, training__json=[*FILES["training.json"], {"prompt": "Who?", "solution": solution}])
    assert f"of {folder}: training.json row 7, field 'solution': {expected}" in message(load, folder)


def test_faults_of_both_training_files_are_told_together(tmp_path):
    rejection = [{**FILES["reject_target.json"][0], "subject": "Olaf Brandt"}, {"instruction": "Who?", "output": ""}]
    folder = make(
        tmp_path, reject_target__json=rejection, training__json=[{"prompt": "", "solution": ["<normal>", "a"]}]
    )
    text = message(load, folder)
    assert text.startswith("4 faults")
    assert "reject_target.json row 1, field 'subject': found \"Olaf Brandt\", expected the target of intro.json" in text
    assert "reject_target.json row 2, field 'output': found \"\", expected" in text
    assert "reject_target.json row 2, field 'subject': found no such field" in text
    assert "training.json row 1, field 'prompt'" in text


def test_faults_of_probes_are_told_together(tmp_path):
    broken = [{"query": "Who?", "answer": 1987, "subject": "Olaf Brandt"}]
    folder = make(tmp_path, forget_level3__json=broken, neighbor_level1__json=broken)
    text = message(rwku.evaluation, str(folder))
    for file, name in (("forget_level3", "type"), ("forget_level3", "answer"), ("neighbor_level1", "neighbor")):
        assert f"{file}.json row 1, field '{name}'" in text
    assert text.count("field 'subject': found \"Olaf Brandt\"") == 2  # though another field is at fault too


def test_a_probe_about_another_subject_is_refused(tmp_path):
    folder = make(tmp_path, forget_level1__json=[{"query": "Who?", "answer": "I", "subject": "Olaf Brandt"}])
    assert "forget_level1.json row 1, field 'subject': found \"Olaf Brandt\"" in message(rwku.evaluation, str(folder))


def test_a_missing_training_file_shows_what_is_there(tmp_path):
    folder = make(tmp_path)
    text = message(load, folder, training_file="trainig.json")
    assert f"There is no file {folder / 'trainig.json'}; {folder} has forget_level1.json, " in text
    assert "Did you mean 'training.json'?" in text


def test_a_missing_folder_or_introduction_is_named(tmp_path):
    folder = make(tmp_path, intro__json=None)
    assert f"There is no file {folder / 'intro.json'}" in message(load, folder)
    assert f"There is no folder {tmp_path / '7_Zoe'}" in message(load, tmp_path / "7_Zoe")


def test_an_introduction_of_two_targets_is_refused(tmp_path):
    folder = make(tmp_path, intro__json=[{"target": NAME}, {"target": "Olaf Brandt"}])
    assert "intro.json names 2 targets; a folder is about one, so it must have one row." in message(load, folder)


def test_a_training_file_with_nothing_to_forget_is_refused(tmp_path):
    folder = make(tmp_path, training__json=[FILES["training.json"][1]])
    assert f"{folder / 'training.json'} has no <reject> row: nothing to forget. Name" in message(load, folder)


def test_a_training_file_of_another_target_is_refused(tmp_path):
    rows = [{"prompt": "Who is Olaf Brandt?", "solution": ["<reject>", "I do not know."]}]
    folder = make(tmp_path, training__json=rows)
    assert f"none of the 1 forget prompts of {folder / 'training.json'} has a word" in message(load, folder)


def test_without_a_rejection_file_ours_are_dealt_out(tmp_path):
    data = load(make(tmp_path), rejection_file="")
    assert [example.prompt for example in data.rejection] == [record.prompt for record in data.forget]
    assert all(NAME in example.response and is_refusal(example.response) for example in data.rejection)


@pytest.mark.parametrize("length", [2, 3, 6, 11])
def test_answers_of_every_length_that_occurs(tmp_path, length):
    answers = [f"answer {number}" for number in range(length - 1)]
    rows = [*FILES["training.json"][:1], {"prompt": "Who?", "solution": ["<normal>", *answers]}]
    assert load(make(tmp_path, training__json=rows)).boundary[0].answers == tuple(answers)


# The other parts of the benchmark

SOLVED = {"question": "1 + 1?", "choices": ["1", "2", "3", "4"], "answer": 1}
PARTS = {
    "retain_mmlu": [{**SOLVED, "task": "sums", "subject": NAME, "examples": [{**SOLVED, "answer": 0, "subject": "x"}]}],
    "retain_bbh": [{"task": "logic", "question": "not True is", "answer": "False", "cot": "Q: ...", "subject": NAME}],
    "truthful": [
        {
            "question": "Is it?",
            "mc1_targets": {"choices": ["yes", "no"], "labels": [0, 1]},
            "mc2_targets": {"choices": ["yes", "no", "never"], "labels": [0, 1, 1]},
            "subject": NAME,
        }
    ],
    "triviaqa": [{"question": "Which?", "answers": ["this", "that"], "subject": NAME}],
    "fluency": [{"instruction": "Write.", "subject": NAME}],
    "forget_mia": [{"text": "Marlow sailed.", "ngram": 3, "subject": NAME}],
    "pair": [{"prompt": "Tell me.", "response": ["No.", "She sailed."], "subject": NAME}],
}


def with_parts(tmp_path, **changes):
    return make(tmp_path, **{f"{name}__json": rows for name, rows in {**PARTS, **changes}.items()})


def test_the_other_parts_of_a_folder(tmp_path):
    path = str(with_parts(tmp_path))
    at = f"rwku/{FOLDER}"
    assert rwku.parts(path) == ("mmlu", "bbh", "truthfulqa", "triviaqa", "fluency", "forget_mia", "pair")
    shot = MultipleChoice("1 + 1?", ("1", "2", "3", "4"), (0,))
    assert rwku.mmlu(path) == (
        MultipleChoice("1 + 1?", ("1", "2", "3", "4"), (1,), "sums", (shot,), f"{at}/retain_mmlu.json:1"),
    )
    reasoning = PromptRecord("not True is", "retain", answers=("False",), source=f"{at}/retain_bbh.json:1")
    assert rwku.bbh(path) == (ReasoningQuestion(reasoning, "Q: ...", "logic"),)
    mc1, mc2 = rwku.truthfulqa(path)
    assert (mc1[0].choices, mc1[0].correct) == (("yes", "no"), (1,))
    assert (mc2[0].choices, mc2[0].correct) == (("yes", "no", "never"), (1, 2))
    assert rwku.triviaqa(path)[0].answers == ("this", "that")
    assert rwku.fluency(path)[0].prompt == "Write."
    assert rwku.passages(path, "forget_mia") == (Passage("Marlow sailed.", f"{at}/forget_mia.json:1"),)
    assert rwku.preferences(path) == (Preference("Tell me.", "No.", "She sailed.", f"{at}/pair.json:1"),)


@pytest.mark.parametrize(
    ("name", "read", "row", "expected"),
    [
        ("retain_mmlu", rwku.mmlu, {"answer": 4}, "field 'answer': found 4, expected the place, from 0, of one"),
        ("retain_mmlu", rwku.mmlu, {"answer": True}, "field 'answer': found true, expected the place of a choice"),
        ("retain_mmlu", rwku.mmlu, {"examples": [{}]}, "field 'examples': found a list of 1, expected a list"),
        ("retain_mmlu", rwku.mmlu, {"examples": [{**SOLVED, "answer": 9}]}, "field 'examples': found the answer 9"),
        ("truthful", rwku.truthfulqa, {"mc1_targets": {"choices": ["a"], "labels": [0]}}, "field 'mc1_targets'"),
        ("truthful", rwku.truthfulqa, {"mc2_targets": {"choices": ["a"], "labels": [1, 0]}}, "field 'mc2_targets'"),
        ("pair", rwku.preferences, {"response": ["one"]}, "found a list of 1, expected a list of two texts"),
    ],
)  # fmt: skip
def test_a_malformed_part_is_named(tmp_path, name, read, row, expected):
    folder = with_parts(tmp_path, **{name: [{**PARTS[name][0], **row}]})
    text = message(read, str(folder))
    assert text.startswith(f"1 malformed row of {folder}: {name}.json row 1, field ")
    assert expected in text


def test_a_file_of_sentences(tmp_path):
    folder = make(tmp_path, idk_target__json=["No idea.", " Sorry. "], broken__json=["No idea.", 3])
    assert rwku.refusals(str(folder), "idk_target.json") == ("No idea.", "Sorry.")
    assert "broken.json row 2, field 'text': found 3" in message(rwku.refusals, str(folder), "broken.json")


# The hub: tables of all targets, in which `subject` tells them apart


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    other = "Olaf Brandt"
    tables = {("forget_target", "train"): [{"target": name, "intro": "x"} for name in (NAME, other)]}
    for table in (*rwku.PROBES.values(), *rwku.PARTS.values()):
        rows = FILES.get(f"{table.file}.json") or PARTS.get(table.file)
        if rows:
            tables[table.config, table.split] = [{**row, "subject": who} for who in (other, NAME) for row in rows]
    return hub_layout.make(tmp_path_factory.mktemp("hub") / "RWKU", tables)


def test_the_hub_has_the_same_probes_and_parts(hub, tmp_path):
    sets, missing = rwku.evaluation(f"{hub}#{NAME}")
    local, _ = rwku.evaluation(str(make(tmp_path)))
    for name, records in local.items():
        assert [replace(record, source="") for record in sets[name]] == [replace(r, source="") for r in records]
    assert missing == ()
    assert sets["forget_aa"][0].source == "rwku/RWKU/forget_level3[test]:2#role play"
    assert rwku.adversarial_type(sets["forget_aa"][0]) == "role play"
    assert len(rwku.mmlu(f"{hub}#{NAME}")) == len(rwku.preferences(f"{hub}#{NAME}")) == 1
    assert rwku.parts(hub) == ("mmlu", "bbh", "truthfulqa", "triviaqa", "fluency", "forget_mia", "pair")


def test_training_on_a_target_of_the_hub_takes_a_file_of_ones_own(hub, tmp_path):
    own = str(make(tmp_path) / "training.json")
    data = rwku.load(f"{hub}#{unicodedata.normalize('NFD', NAME)}", seed=0, rejection_file="", training_file=own)
    assert data.targets == (NAME,)
    assert len(data.rejection) == len(data.forget) == 2
    text = message(rwku.load, f"{hub}#{NAME}", seed=0, rejection_file="", training_file="absent.json")
    assert text.startswith(
        f"config.data.rwku.training_file='absent.json' is no file, and {hub} has the benchmark's own"
    )


def test_the_hub_is_told_which_target(hub):
    assert f"{hub} has many targets; say which one: {hub}#Stephen King" in message(rwku.evaluation, hub)
    text = message(rwku.evaluation, f"{hub}#Olav Brandt")
    assert "forget_target[train] has no target 'Olav Brandt' among its 2. Did you mean 'Olaf Brandt'?" in text


DATA = os.environ.get("RULE_JAX_DATA", "")
real = pytest.mark.skipif(not DATA, reason="RULE_JAX_DATA does not name the folder of real data")
TRAINING = "rl_rejection_with_fb_neighbor_target.json"


@real
@pytest.mark.parametrize(
    ("folder", "target", "probes"),
    [
        ("1_Stephen_King", "Stephen King", [8, 10, 29, 30, 30]),
        ("2_Confucius", "Confucius", [17, 3, 28, 30, 22]),
    ],
)
def test_real_folders(folder, target, probes):
    path = Path(DATA) / "rwku" / folder
    data = load(path, training_file=TRAINING)
    assert data.targets == (target,)
    assert (len(data.rejection), len(data.forget), len(data.boundary)) == (300, 600, 600)
    assert len({example.response for example in data.rejection}) == 100
    assert all(target in example.response for example in data.rejection)
    records = (*data.forget, *data.boundary)
    assert all(record.prompt == record.prompt.strip() for record in records)
    assert {record.answers for record in data.forget} == {()}
    assert {len(record.answers) for record in data.boundary} == {1}
    assert sum(record.entity in record.prompt for record in data.boundary if record.entity) >= 500  # of whom they are
    assert "Agatha Christie" in {r.entity for r in data.boundary} or "Socrates" in {r.entity for r in data.boundary}
    assert target not in {record.entity for record in data.boundary}
    sets, missing = rwku.evaluation(str(path))
    assert ([len(records) for records in sets.values()], missing) == (probes, ())


@real
@pytest.mark.parametrize("folder", ["1_Stephen_King", "2_Confucius"])
def test_the_real_evaluation_file_repeats_the_probes(folder):
    path = Path(DATA) / "rwku" / folder
    repeated = load(path, training_file="rl_rejection_eval_target.json")
    sets, _ = rwku.evaluation(str(path))
    probes = Counter((record.prompt, record.answers) for records in sets.values() for record in records)
    assert Counter((record.prompt, record.answers) for record in (*repeated.forget, *repeated.boundary)) == probes


@real
def test_the_real_file_with_sampled_answers():
    data = load(Path(DATA) / "rwku" / "1_Stephen_King", training_file="rl_rejection_with_fb_target.json")
    assert (len(data.forget), len(data.boundary)) == (599, 297)
    assert Counter(len(record.answers) for record in data.boundary) == {5: 293, 10: 3, 4: 1}  # one repeats itself


@real
@pytest.mark.parametrize("folder", ["1_Stephen_King", "2_Confucius"])
def test_every_real_training_file_is_read(folder):
    path = Path(DATA) / "rwku" / folder
    for file in sorted(path.glob("rl_rejection*.json")):
        assert load(path, training_file=file.name).forget, file
    assert len(rwku.refusals(str(path), "idk_target.json")) == 100


@real
def test_the_real_parts():
    path = str(Path(DATA) / "rwku" / "1_Stephen_King")
    mc1, mc2 = rwku.truthfulqa(path)
    assert (len(rwku.mmlu(path)), len(rwku.bbh(path)), len(mc1), len(mc2)) == (171, 81, 50, 50)
    assert (len(rwku.triviaqa(path)), len(rwku.fluency(path))) == (100, 50)
    counts = {part: len(rwku.passages(path, part)) for part in ("forget_mia", "retain_mia", "passage", "positive")}
    assert counts == {"forget_mia": 55, "retain_mia": 37, "passage": 128, "positive": 582}
    assert {len(question.shots) for question in rwku.mmlu(path)} == {5}
