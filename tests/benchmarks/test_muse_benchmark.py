"""rule_jax.benchmarks.muse: raw prompts behind solved questions, and PrivLeak relative to a retrained model."""

import json

import pytest

from rule_jax.benchmarks import muse
from rule_jax.errors import UserError

DATA = {"target": "Harry Potter"}


@pytest.fixture
def place(tmp_path):
    tables = {
        "knowmem/forget_qa": [{"question": "Who is Ann?", "answer": "a poet"}],
        "knowmem/forget_qa_icl": [{"question": "Who is Bob?", "answer": "a cook"}],
        "verbmem/forget": [{"prompt": "Once upon", "gt": " a time there was"}],
        "privleak/forget": [{"text": "Once upon a time"}],
        "privleak/holdout": [{"prompt": "Far", "gt": " away"}],
    }
    for name, rows in tables.items():
        file = tmp_path / f"{name}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(rows))
    return tmp_path


def test_what_is_asked(place):
    tasks = {task.name: task for task in muse.tasks(str(place), seed=0, data=DATA)}
    asked = {name: (task.records[0].prompt, task.render, task.max_new_tokens) for name, task in tasks.items()}
    assert asked == {
        "knowmem_forget": ("Question: Who is Bob?\nAnswer: a cook\n\nQuestion: Who is Ann?\nAnswer: ", "raw", 32),
        "verbmem_forget": ("Once upon", "raw", 128),
    }
    assert [name for name, task in tasks.items() if task.cut_references] == ["verbmem_forget"]
    scoring = {task.name: task.queries[0] for task in muse.scoring(str(place), seed=0, data=DATA)}
    assert {name: (query.prompt, query.texts) for name, query in scoring.items()} == {
        "privleak_forget": ("", ("Once upon a time",)),
        "privleak_holdout": ("", ("Far away",)),
        "verbmem_tokens": ("Once upon", (" a time there was",)),
    }
    assert muse.missing(str(place)) == ("knowmem_retain", "privleak_retain")


def test_an_answer_ends_where_the_next_question_begins(place):
    task = muse.tasks(str(place), seed=0, data=DATA)[0]
    for text in ("a poet\n\nQuestion: more", "a poet\nQuestion: more", "a poet Question: more", " a poet "):
        assert task.judge(task.records[0], text)["rouge_l_f1"] == 1
    assert task.judge(task.records[0], "a poet and a cook")["rouge_l_f1"] == pytest.approx(2 * (2 / 5) / (1 + 2 / 5))


def values(*scores):
    return [{"min_k_40": score} for score in scores]


def test_privleak_is_relative_to_a_model_that_never_saw_the_forget_set(place):
    judged = {
        "privleak_forget": values(-1.0, -1.2, -0.8, -1.5, -1.1),
        "privleak_holdout": values(-2.0, -1.4, -2.2, -1.05, -1.9),
    }
    row = muse.summary("somewhere/muse_books", retrained="")(judged)["privleak"]
    assert row == {"auc_min_k_40": pytest.approx(0.16), "privleak": pytest.approx(-70.33191173743741), "n": 10}
    other = place / "metrics.json"
    other.write_text(json.dumps({"privleak": {"auc_min_k_40": 0.32, "n": 10}}))
    assert muse.summary(str(place), retrained=str(place))(judged)["privleak"]["privleak"] == pytest.approx(-50)
    unknown = muse.summary(str(place), retrained="")(judged)["privleak"]["privleak"]
    assert unknown.startswith("no AUC of a retrained model is known")


def test_a_retrained_model_that_was_not_evaluated(place):
    with pytest.raises(UserError, match=r"there is no metrics\.json with a privleak\.auc_min_k_40"):
        muse.summary(str(place), retrained=str(place))


def test_a_folder_without_any_part(tmp_path):
    with pytest.raises(UserError, match="none of MUSE's parts: knowmem_forget, knowmem_retain, verbmem"):
        muse.tasks(str(tmp_path), seed=0, data=DATA)
