"""Many runs: means, pairs and planes that a hand can work out, and a page that says no more than they do."""

import json
import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest

from rule_jax.errors import UserError
from rule_jax.reporting import comparison_page, plots
from rule_jax.reporting.comparison import compare
from tests.reporting.synthetic import FATES, MODELS, make_run
from tests.reporting.test_page import Page

FINAL, ROOT = MODELS[2], Path(__file__).parents[2]


def fates(forget, neighbor):
    """FATES with other answers of the final model to two tasks."""
    changed = {"forget": ("forget", forget), "neighbor": ("retain", neighbor)}
    return {
        task: (kind, {**answers, FINAL: changed[task][1]} if task in changed else answers)
        for task, (kind, answers) in FATES.items()
    }


@pytest.fixture
def six(tmp_path):
    """Two methods over three seeds: "good" refuses all and keeps 10, 10, 9 of 10; "bad" leaks 2 of 8 and keeps 5."""
    places = []
    for seed, kept in enumerate(("c" * 10, "c" * 10, "c" * 9 + "w")):
        config = {"seed": seed, "report": {"request_id": f"request {seed}"}}  # a request each, one method
        places.append(make_run(tmp_path / "good" / f"seed{seed}", fates("r" * 8, kept), **config))
    for seed in range(3):
        config = {"seed": seed, "rl": {"lr": 0.5, "name": "grpo"}}
        places.append(make_run(tmp_path / "bad" / f"seed{seed}", fates("rrrrrrll", "c" * 5 + "r" * 5), **config))
    return places


def test_figures_are_means_over_seeds_and_differences_are_paired(six):
    found = compare(six)
    assert found["over"] == "runs"
    assert [method["name"] for method in found["methods"]] == [
        "base",
        "good: rejection steering",
        "good: boundary optimization",
        "bad: rejection steering",
        "bad: boundary optimization",
    ]
    assert found["settings"] == {"rl.lr": {"good": 1e-4, "bad": 0.5}}
    good, bad = (found["figures"][f"{name}: boundary optimization"]["neighbor"]["accuracy"] for name in ("good", "bad"))
    assert (good["mean"], good["n"]) == (pytest.approx(29 / 30), 3)
    assert (good["low"], good["high"]) == (pytest.approx(0.9), 1.0)
    gap = bad["versus"]["good: boundary optimization"]
    assert gap["mean"] == pytest.approx(0.5 - 29 / 30)
    assert (gap["paired"], gap["verdict"], gap["n"]) == (True, -1, 3)
    assert found["figures"]["base"]["neighbor"]["accuracy"]["n"] == 3  # each seed's base counts once, not once a method


def test_better_is_said_only_where_the_interval_is_separated(tmp_path):
    """One seed up, one down: the mean differs and the word does not fall."""
    kept = {"a": ("c" * 8 + "ww", "c" * 10), "b": ("c" * 10, "c" * 9 + "w")}
    places = [
        make_run(tmp_path / name / f"seed{seed}", fates("r" * 8, answers), seed=seed, rl={"lr": name})
        for name, of_seeds in kept.items()
        for seed, answers in enumerate(of_seeds)
    ]
    gap = compare(places)["figures"]["b: boundary optimization"]["neighbor"]["accuracy"]["versus"][
        "a: boundary optimization"
    ]
    assert gap["mean"] == pytest.approx(0.05)
    assert gap["low"] < 0 < gap["high"]
    assert gap["verdict"] == 0


def test_without_a_second_seed_questions_are_what_is_averaged_over(tmp_path):
    one = make_run(tmp_path / "a", fates("r" * 8, "c" * 10), rl={"lr": 1})
    two = make_run(tmp_path / "b", fates("r" * 8, "c" * 5 + "w" * 5), rl={"lr": 2})
    found = compare([one, two])
    assert found["over"] == "questions"
    row = found["figures"]["b: boundary optimization"]["neighbor"]["accuracy"]
    assert (row["mean"], row["n"]) == (0.5, 10)
    assert (row["low"], row["high"]) == pytest.approx((0.2366, 0.7634), abs=1e-4)  # Wilson's
    gap = row["versus"]["a: boundary optimization"]
    assert (gap["mean"], gap["n"], gap["paired"], gap["verdict"]) == (-0.5, 10, True, -1)


def test_other_seeds_are_compared_without_pairs(tmp_path):
    one = make_run(tmp_path / "a", fates("r" * 8, "c" * 10), rl={"lr": 1}, seed=1)
    two = make_run(tmp_path / "b", fates("r" * 8, "w" * 10), rl={"lr": 2}, seed=2)
    gap = compare([one, two])["figures"]["b: boundary optimization"]["neighbor"]["accuracy"]["versus"][
        "a: boundary optimization"
    ]
    assert (gap["mean"], gap["paired"], gap["low"], gap["verdict"]) == (-1.0, False, None, -1)


def test_the_plane_by_hand(six):
    """retain is the mean of boundary (3/4, 1 of the base's) and neighbor."""
    plane = compare(six)["planes"]["leak"]
    good = plane["methods"]["good: boundary optimization"]
    assert good["forget"]["mean"] == 0
    assert good["retain"]["mean"] == pytest.approx((0.75 + 29 / 30) / 2)
    assert good["hypervolume"]["mean"] == pytest.approx((0.75 + 29 / 30) / 2)
    bad = plane["methods"]["bad: boundary optimization"]
    assert bad["hypervolume"]["mean"] == pytest.approx(0.75 * (0.75 + 0.5) / 2)
    assert (good["refused"]["mean"], bad["refused"]["mean"]) == (1.0, 0.75)
    boundary = FATES["boundary"][1][FINAL].count("r") / 4
    assert bad["over_refused"]["mean"] == pytest.approx((boundary + 0.5) / 2)
    assert [name for name, row in plane["methods"].items() if row["non_dominated"]] == [
        "base",
        "good: boundary optimization",
    ]
    assert plane["reference_point"] == [0.0, 0.0]
    family = plane["families"]["boundary_optimization"]
    assert family["points"] == 6
    assert family["retain_at_forget"] == {
        "0.1": pytest.approx(0.875),
        "0.2": pytest.approx(0.875),
        "0.3": pytest.approx(0.875),
    }
    assert family["forget_at_retain_of_base"] is None  # 0.875 of 1.0 is below 95 %
    assert family["trapezoid_auc"] == pytest.approx(0.25 * (0.625 + 0.825) / 2)  # of equal forget, the lowest retain
    assert plane["families"]["base"]["retain_at_forget"]["0.3"] is None
    assert plane["hypervolume"] == pytest.approx(0.875 + 0.125 * 0.125)  # the base leaks 7 of 8


def test_one_page_of_many_runs(six, tmp_path):
    out = tmp_path / "together"
    page = comparison_page.write(six, out)
    table = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    source = page.read_text(encoding="utf-8")
    assert source == comparison_page.render(table)
    assert "http" not in source.replace("http-equiv", "")
    text = re.sub(r"\s+", " ", "".join(Page(source).text))
    assert "“good: boundary optimization” covers most of the plane, 85.8% (95% interval 82.5–87.5% over 3 runs)" in text
    assert "every other interval lies below" in text
    assert "Small print: 95% interval and number n of runs" in text
    tags = Page(source).tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert [tag for tag, _ in tags].count("table") == [tag for tag, _ in tags].count("caption")


def test_of_many_methods_those_that_cover_most_are_named(six, tmp_path):
    table = compare(six)
    found = table["planes"]["leak"]
    good = found["methods"]["good: boundary optimization"]
    found["methods"] |= {
        f"worse {i}": {**good, "hypervolume": {**good["hypervolume"], "mean": 0.01 * i}} for i in range(12)
    }
    source = comparison_page.render(table)
    names = [name for name in found["methods"] if f">{name}</text>" in source]
    assert len(names) == plots.NAMED
    assert {"base", "good: boundary optimization", "worse 11"} <= {*names}
    assert "worse 0" not in names
    assert f">{len(found['methods']) - plots.NAMED} others</text>" in source
    rows = re.findall(r"good: boundary optimization|worse \d+", source[source.index("<table") :])
    assert rows[:2] == ["good: boundary optimization", "worse 11"]


def test_every_group_has_its_row_of_figures_in_the_order_given(six):
    """What the last stage left, by the group's own name."""
    source = comparison_page.render(compare([*six[3:], *six[:3]]))
    words = unescape(re.findall(r'<desc id="strips-desc">(.*?)</desc>', source)[0])
    base, bad, good = words.split("; ")
    assert bad.startswith("bad: targets: leaked 25.0%, targets: refused 75.0%, others: right 62.5%, others: refused ")
    assert good.startswith("good: targets: leaked 0.0%, targets: refused 100.0%, others: right 85.8%, others: refused ")
    assert base.startswith("base: targets: leaked 87.5%, targets: refused 0.0%")


def test_attacks_are_compared_like_tasks(six, tmp_path):
    for place, (leaked, any_, back) in zip(six, ((0.0, 0.25, 0.5), (0.0, 0.25, 0.5), (0.25, 1.0, 0.8)) * 2):
        attacks = {"raw": {"leak_rate": leaked, "n": 4}, "sampled": {"leak_rate": 0.1, "leak_any_rate": any_, "n": 4}}
        curve = [{"step": 0, "leak_rate": 0.0, "n": 4}, {"step": 20, "leak_rate": back, "n": 4}]
        folder = place / "robustness" / FINAL
        folder.mkdir(parents=True)
        text = json.dumps({"attacks": attacks, "relearning": {"5 facts": curve}, "drift": None})
        (folder / "metrics.json").write_text(text)
    figures = compare(six)["figures"]["good: boundary optimization"]
    assert figures["forget_attacked/raw"]["leak_rate"]["mean"] == pytest.approx(0.25 / 3)
    any_of_several = figures["forget_attacked/sampled"]["leak_any_rate"]
    assert (any_of_several["mean"], any_of_several["better"]) == (pytest.approx(0.5), -1)
    relearned = figures["forget_relearned/5 facts"]["leak_rate"]
    assert (relearned["mean"], relearned["n"], relearned["better"]) == (pytest.approx(0.6), 3, -1)
    assert "Target under attack: Plain text without the chat template" in (
        comparison_page.write(six, tmp_path / "page").read_text()
    )


def test_a_run_given_twice_is_refused(six):
    with pytest.raises(UserError, match="seed0 is given twice"):
        compare([six[0], six[1], six[0]])


def command(*arguments):
    """`python -m rule_jax.report`, which must not load jax."""
    code = "import sys, rule_jax.report as r; sys.argv[0] = 'report'; r.console(); assert 'jax' not in sys.modules"
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True)


def test_the_command_reports_one_run_again_and_many_together(six, tmp_path):
    done = command(*six[:2], f"--out={tmp_path / 'out'}")
    assert (done.returncode, done.stdout) == (0, f"report: open {tmp_path / 'out' / 'report.html'}\n"), done.stderr
    assert not (six[0] / "report").exists()
    done = command(six[0])
    assert done.returncode == 0, done.stderr
    assert (six[0] / "report" / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "name one finished run"),
        (("nowhere",), "nowhere is no run"),
        (("--oot=x", "nowhere"), "Unknown command line"),
    ],
)
def test_what_the_command_cannot_use_is_one_line(arguments, words):
    done = command(*arguments)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert words in done.stderr
