"""rule_jax.benchmarks.tofu: from scores of tokens to model utility and forget quality; the real logs give theirs."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from rule_jax.benchmarks import tofu
from rule_jax.errors import UserError
from rule_jax.types import TokenScores

DATA = {"forget": "forget10"}
FILES = {
    "forget": "eval_log_forget.json",
    "retain": "eval_log.json",
    "real_authors": "eval_real_author_wo_options.json",
    "real_world": "eval_real_world_wo_options.json",
}
ROW = {"question": "Who is Ann?", "answer": "a poet", "perturbed_answer": ["a cook", "a smith"]}


@pytest.fixture
def place(tmp_path):
    tables = {"forget10_perturbed": [{**ROW, "paraphrased_answer": "one who writes"}], "retain_perturbed": [ROW]}
    for name, rows in tables.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(rows))
    return tmp_path


def of_loss(loss, tokens=2):
    """The scores of a text of that mean loss."""
    flat = np.full(tokens, -loss)
    return TokenScores(flat, flat, flat, flat > -1)


def test_tasks_of_the_tables_that_are_there(place):
    tasks = tofu.tasks(str(place), seed=0, data=DATA)
    assert [(task.name, task.records[0].kind, task.render) for task in tasks] == [
        ("forget", "forget", "chat"),
        ("retain", "retain", "chat"),
    ]
    assert tofu.missing(str(place)) == ("real_authors_perturbed", "world_facts_perturbed")
    scoring = {task.name: task for task in tofu.scoring(str(place), seed=0, data=DATA)}
    texts = {name: task.queries[0].texts for name, task in scoring.items()}
    assert texts == {
        "forget_probability": ("a poet", "one who writes", "a cook", "a smith"),
        "retain_probability": ("a poet", "a poet", "a cook", "a smith"),
    }
    assert all(task.ended for task in scoring.values())


def test_a_folder_without_the_forget_set_says_so(place):
    with pytest.raises(UserError, match=r"no forget01_perturbed: name the forget set with config\.data\.tofu\.forget"):
        tofu.tasks(str(place), seed=0, data={"forget": "forget01"})


def test_what_is_missing_has_a_reason(place):
    scoring = {task.name: task for task in tofu.scoring(str(place), seed=0, data=DATA)}
    task = scoring["forget_probability"]
    values = task.judge(task.queries[0], [of_loss(loss) for loss in (1.0, 2.0, 3.0, 4.0)])
    assert values["probability"] == pytest.approx(math.exp(-1))
    assert values["truth_ratio_compat"] == pytest.approx(math.exp(2 - 3.5))
    assert values["truth_ratio"] == pytest.approx((math.exp(-3) + math.exp(-4)) / 2 / math.exp(-2))
    assert values["exact_memorization"] == 0
    row = tofu.summary(str(place), retrained="")({"forget_probability": [values]})["tofu"]
    assert row["model_utility"] == "the set real_authors is missing"
    assert row["forget_quality"].startswith("no model that never saw the forget set")


def test_a_run_of_ours_stands_for_the_retrained_model(place, tmp_path):
    other = tmp_path / "base"
    other.mkdir()
    rows = [{"task": "forget_probability", "judged": {tofu.RATIO: ratio}} for ratio in (1.0, 2.0)]
    (other / "scores.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    judged = {"forget_probability": [{tofu.RATIO: 1.0}, {tofu.RATIO: 2.0}]}
    row = tofu.summary(str(place), retrained=str(other))(judged)["tofu"]
    assert (row["forget_quality"], row["forget_ks"]) == (1.0, 0.0)
    with pytest.raises(UserError, match="neither a log of TOFU's evaluation"):
        tofu.summary(str(place), retrained=str(place))


LOGS = Path(os.environ.get("RULE_JAX_DATA", "")) / "tofu_logs"


@pytest.mark.skipif(not os.environ.get("RULE_JAX_DATA"), reason="RULE_JAX_DATA does not name the folder of real data")
def test_the_real_logs_give_the_stated_figures(place):
    log = json.loads((LOGS / "llama2-7b_full.json").read_text(encoding="utf-8"))
    scoring = {task.name: task for task in tofu.scoring(str(place), seed=0, data=DATA)}
    judges = dict.fromkeys(FILES, scoring["retain_probability"].judge)
    judges |= {"forget": scoring["forget_probability"].judge}
    judges |= {"real_authors": tofu._among_options, "real_world": tofu._among_options}
    judged = {}
    for name, file in FILES.items():
        part = log[file]
        judged[name] = [{"rouge_l_recall_stem": recall} for recall in part["rougeL_recall"].values()]
        columns = ("avg_gt_loss", "avg_paraphrased_loss", "average_perturb_loss")
        judged[f"{name}_probability"] = [
            judges[name](None, [of_loss(loss) for loss in (answer, paraphrased, *perturbed)])
            for answer, paraphrased, perturbed in zip(*(part[column].values() for column in columns))
        ]
    row = tofu.summary("", retrained=str(LOGS / "llama2-7b_retain90.json"))(judged)["tofu"]
    assert row["model_utility_compat"] == pytest.approx(0.6226773637427151, abs=1e-6)
    assert row["model_utility"] == pytest.approx(0.585886035092722, abs=1e-6)
    assert row["forget_quality"] == pytest.approx(1.834066410994743e-21, rel=1e-6)
    assert row["forget_ks"] == pytest.approx(0.39666666666666667, abs=1e-6)
