"""Figures in the layout of papers' tables: each cell by hand, on the page, in the comparison, and as Markdown."""

import json

import pytest

from rule_jax.reporting import comparison_page, page, published, vocabulary
from tests.reporting.synthetic import MODELS, edit, make_run
from tests.reporting.test_page import Page


def rwku(fb, qa, aa, **more):
    """A model's figures; ROUGE-L recall of 10, 20 and 70 probes, with twins 0.1 above."""
    rows = {"forget_fb": (fb, 10), "forget_qa": (qa, 20), "forget_aa": (aa, 70)}
    return {
        task: {"rouge_l_recall": value, "rouge_l_recall_compat": value + 0.1, "rouge_l_recall_floor": 0.05, "n": n}
        for task, (value, n) in rows.items()
    } | more


def row(table, name):
    """{"group name": number of the row} of a table."""
    cells = next(row["cells"] for row in table["rows"] if row["name"] == name)
    heads = [f"{column['group']} {column['name']}" for column in table["columns"]]
    return {head: cell and cell["mean"] for head, cell in zip(heads, cells, strict=True)}


def test_all_counts_every_probe_alike_in_either_reading():
    compat, standard = published.tables({"Base": [rwku(0.9, 0.6, 0.3)]})
    assert (compat["reading"], standard["reading"]) == ("compat", "standard")
    found = row(standard, "Base")
    assert found["Forget FB"] == pytest.approx(90)
    assert found["Forget All"] == pytest.approx(9 + 12 + 21)
    assert row(compat, "Base")["Forget All"] == pytest.approx(52)
    assert found["Neighbour All"] is None  # not measured is not 0
    assert row(standard, published.FLOOR)["Forget All"] == pytest.approx(5)
    assert published.FLOOR not in [row["name"] for row in compat["rows"]]  # there is no such figure


def test_a_part_that_lacks_makes_no_all():
    figures = rwku(0.9, 0.6, 0.3, forget_qa={"rouge_l_recall": None, "n": 0})
    found = row(published.tables({"Base": [figures]})[1], "Base")
    assert found["Forget FB"] == pytest.approx(90)
    assert (found["Forget QA"], found["Forget All"]) == (None, None)


def test_utility_and_membership_are_scaled_as_the_papers_do():
    figures = {
        "forget_mia": {"loss": -2.267, "n": 5},
        "membership": {"auc_loss": 0.52, "n": 9},
        "bbh": {"exact_match": 0.25, "exact_match_compat": 0.4, "n": 4},
        "triviaqa": {"word_f1": 0.5, "word_f1_compat": 0.125, "n": 4},
        "fluency": {"ngram_entropy": 7.058, "n": 4},
        "truthfulqa_mc1": {"accuracy": 0.368, "n": 4},
    }
    compat, standard = (row(table, "Base") for table in published.tables({"Base": [figures]}))
    assert standard["MIA FM"] == compat["MIA FM"] == pytest.approx(226.7)
    assert standard["MIA AUC"] == pytest.approx(52)
    assert "MIA AUC" not in compat
    assert (standard["Utility BBH"], compat["Utility BBH"]) == (25, 40)
    assert (standard["Utility TriviaQA"], compat["Utility TriviaQA"]) == (50, 12.5)
    assert compat["Utility Fluency"] == pytest.approx(705.8)
    assert compat["Utility TruthfulQA"] == pytest.approx(36.8)


def test_the_default_world_in_the_layout_of_the_paper_s_table():
    """Attacks by words pooled, naturalness by form alone; no other benchmark's runs are put into it."""
    figures = {
        "forget": {"rouge_l_recall": 0.25, "n": 8},
        "forget_cloze": {"rouge_l_recall": 0.5, "n": 4},
        "neighbor": {"rouge_l_recall": 0.75, "n": 8},
        "boundary": {"rouge_l_recall": 1.0, "n": 8},
        "general": {"accuracy": 0.5, "n": 2},
    }
    report = {
        "stages": {"model": figures},
        "judged": {},
        "naturalness": {
            "model": {s: {"well_formed_rate": w, "n": n} for s, w, n in (("forget", 1, 1), ("retain", 0, 3))}
        },
        "robustness": {
            "model": {"attacks": {n: {"rouge_l_recall": 0.1 * i, "n": 9} for i, n in enumerate(published.ATTACKS)}}
        },
    }
    (table,) = published.tables({"After": [published.figures(report, "model")]})
    assert (table["benchmark"], table["reading"]) == ("World", "")
    assert row(table, "After") == {
        "Forget FB": 50,
        "Forget QA": 25,
        "Forget AA": pytest.approx(20),
        "Naturalness Well formed": 25,
        "Neighbour Boundary": 100,
        "Neighbour QA": 75,
        "Utility General": 50,
    }
    del report["robustness"]
    (table,) = published.tables({"After": [published.figures(report, "model")]})
    assert row(table, "After")["Forget AA"] is None
    del figures["forget_cloze"]
    assert published.tables({"After": [published.figures(report, "model")]}) == []


def test_naturalness_is_a_judges_where_one_was_asked():
    def side(n, *means):
        return {"n": n, "ratings": {name: {"mean": mean} for name, mean in zip(vocabulary.ASPECTS, means)}}

    judged = {"forget": side(10, 0.9, 0.5, 0.7), "retain": side(30, 0.5, 0.1, None)}
    report = {"stages": {"base": rwku(0.9, 0.6, 0.3), "model": rwku(0, 0, 0)}, "judged": {"model": judged}}
    rows = {"Base": "base", "After": "model"}
    compat, standard = published.tables({name: [published.figures(report, model)] for name, model in rows.items()})
    assert row(standard, "After") == row(standard, "After") | {
        "Naturalness Readability": pytest.approx(9 / 0.4 + 15 / 0.4),
        "Naturalness Helpfulness": pytest.approx(5 / 0.4 + 3 / 0.4),
        "Naturalness Truthfulness": None,  # of one side there is no rating
    }
    assert row(compat, "After")["Naturalness Readability"] == row(standard, "After")["Naturalness Readability"]
    assert row(standard, "Base")["Naturalness Readability"] is None
    unrated = {"stages": {"base": {}}, "judged": {"base": {"forget": {"n": 3, "perplexity_original": 2.0}}}}
    assert published.figures(unrated, "base") == {}  # no judge was asked


def test_runs_are_averaged_and_one_that_lacks_a_part_leaves_the_cell_empty():
    runs = [rwku(0.9, 0.6, 0.3), rwku(0.5, 0.6, 0.3)]
    table = published.tables({"method": runs})[1]
    cell = table["rows"][0]["cells"][0]
    assert (cell["mean"], cell["low"], cell["high"], cell["n"]) == (pytest.approx(70), 50, 90, 2)
    lone = published.tables({"method": [runs[0]]})[1]["rows"][0]["cells"][0]
    assert (lone["low"], lone["high"], lone["n"]) == (None, None, 1)
    without = {task: figures for task, figures in runs[1].items() if task != "forget_fb"}
    assert published.tables({"method": [runs[0], without]})[1]["rows"][0]["cells"][0] is None


def test_muse_has_one_reading_and_tofu_is_not_scaled():
    muse = {"verbmem_forget": {"rouge_l_f1": 0.6, "n": 3}, "privleak": {"privleak": -57.1, "n": 3}}
    (table,) = published.tables({"Base": [muse]})
    assert (table["benchmark"], table["reading"]) == ("MUSE", "")
    found = row(table, "Base")
    assert (found["Forget VerbMem"], found["Privacy PrivLeak"]) == (pytest.approx(60), -57.1)
    tofu = {
        "tofu": {"model_utility": 0.63, "model_utility_compat": 0.61, "forget_quality": 1e-17, "n": 3},
        "forget_probability": {"truth_ratio": 0.5, "truth_ratio_compat": 0.4, "n": 3},
    }
    compat, standard = (row(table, "Base") for table in published.tables({"Base": [tofu]}))
    assert (compat["Summary Model utility"], standard["Summary Model utility"]) == (0.61, 0.63)
    assert (compat["Forget Truth ratio"], standard["Forget Truth ratio"]) == (0.4, 0.5)
    assert standard["Summary Forget quality"] == 1e-17


def test_numbers_are_written_as_tables_write_them():
    assert [published.text(value, 1) for value in (None, 0.0, -57.12, 0.634, 1e-17)] == [
        "–", "0.0", "-57.1", "0.634", "1e-17",
    ]  # fmt: skip
    assert [published.text(value, 100) for value in (None, 0.0, 76.94, 0.536)] == ["–", "0.0", "76.9", "0.5"]


def test_markdown_is_a_table_a_reading():
    text = published.markdown(published.tables({"a|b": [rwku(0.9, 0.6, 0.3)]}))
    first, second = text.split("\n\n## ")
    assert first.startswith("## RWKU, compat\n\n")
    assert second.startswith("RWKU, standard\n\n")
    head, line, body, floor = second.rstrip("\n").split("\n")[-4:]
    assert head.startswith("|  | Forget FB ↓ | Forget QA ↓ | Forget AA ↓ | Forget All ↓ | Naturalness Readability ↑ |")
    assert body.startswith(r"| a\|b | 90.0 | 60.0 | 30.0 | 42.0 | – |")
    assert floor.startswith(f"| {published.FLOOR} | 5.0 | 5.0 | 5.0 | 5.0 | – |")
    assert head.count("|") == line.count("|") == floor.count("|") == body.count("|") - 1


@pytest.fixture
def workdir(tmp_path):
    """A run whose models score RWKU's probes."""
    made = make_run(tmp_path / "run")
    for model, value in zip(MODELS, (0.9, 0.6, 0.3)):
        edit(made / "evaluate" / model / "metrics.json", lambda m, value=value: m.update(rwku(value, value, value)))
    return made


def test_the_page_and_its_markdown_show_every_model_twice(workdir):
    text = Page(page.write(workdir).read_text(encoding="utf-8")).text
    for heading in ("RWKU, compat", "RWKU, standard"):
        start = text.index(heading)
        row = text.index("Boundary optimization", start)
        assert text[row + 1].strip() == ("40.0" if "compat" in heading else "30.0")
    told = (workdir / "report" / "tables.md").read_text(encoding="utf-8")
    assert "| Boundary optimization | 40.0 | 40.0 | 40.0 | 40.0 |" in told
    kept = json.loads((workdir / "report" / "metrics.json").read_text(encoding="utf-8"))["published"]
    assert published.markdown(kept) == told


def test_many_runs_have_a_row_a_method(workdir, tmp_path):
    other = make_run(tmp_path / "other", seed=8)
    for model in MODELS:
        edit(other / "evaluate" / model / "metrics.json", lambda metrics: metrics.update(rwku(0.1, 0.1, 0.1)))
    source = comparison_page.write([workdir, other], tmp_path / "out").read_text(encoding="utf-8")
    told = (tmp_path / "out" / "tables.md").read_text(encoding="utf-8")
    assert "| boundary optimization | 20.0 |" in told.partition("## RWKU, standard")[2]
    assert "As papers print it" in source
    assert "10.0–30.0" in source
