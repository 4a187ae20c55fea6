"""Whatever rows a benchmark's files hold, a loader gives records or a UserError of one line, and nothing else."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rule_jax.data import jsonl, muse, rwku, tofu
from rule_jax.errors import UserError

TOFU = {"forget": "a", "retain": "b", "boundary_share": 1.0, "rows_per_author": 3, "unnamed": "this author"}
LOADERS = {  # name: (the files it reads, how it reads them)
    "rwku": (
        ("reject.json", "training.json"),
        lambda place: rwku.load(place, seed=0, rejection_file="reject.json", training_file="training.json"),
    ),
    "rwku probes": (tuple(f"{table.file}.json" for table in rwku.PROBES.values()), rwku.evaluation),
    "mmlu": (("retain_mmlu.json",), rwku.mmlu),
    "truthfulqa": (("truthful.json",), rwku.truthfulqa),
    "bbh": (("retain_bbh.json",), rwku.bbh),
    "triviaqa": (("triviaqa.json",), rwku.triviaqa),
    "pair": (("pair.json",), rwku.preferences),
    "muse": (("t.json",), lambda place: muse.load(place, seed=0, target="Ina", training_file="t.json")),
    "privleak": (("privleak/forget.json",), lambda place: muse.privleak(place, "forget")),
    "tofu": (("a.json", "b.json"), lambda place: tofu.load(place, seed=0, **TOFU)),
    "tofu variants": (("a.json",), lambda place: tofu.variants(place, "a", "forget")),
    "jsonl": (
        ("own.json",),
        lambda place: jsonl.load(f"{place}/own.json", seed=0, rejection_file="", evaluation_file="", columns={}),
    ),
}
NAMES = [
    *["prompt", "solution", "instruction", "input", "output", "subject", "query", "answer", "type", "neighbor"],
    *["question", "choices", "labels", "examples", "task", "mc1_targets", "mc2_targets", "cot", "answers", "text"],
    *["response", "org_answer", "neighbor_question", "mode", "gt", "perturbed_answer", "kind", "target"],
]
WORDS = st.sampled_from(
    ["Ina", "<reject>", "<normal>", "forget", "boundary", "qa", "", " ", "Ina Volk's 'é'", "\ud800"]
)
VALUE = st.recursive(
    WORDS | st.integers(-1, 3) | st.none() | st.booleans() | st.floats(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=8,
)
ROW = st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, VALUE)) | VALUE
WHOLE = st.fixed_dictionaries({name: WORDS | st.lists(WORDS, max_size=4) for name in NAMES})


@pytest.mark.parametrize("name", LOADERS)
@settings(max_examples=10, deadline=None, database=None)
@given(rows=st.lists(ROW | WHOLE, min_size=1, max_size=4))
def test_any_rows_give_records_or_a_user_error(name, rows):
    files, load = LOADERS[name]
    complaint = ""
    with tempfile.TemporaryDirectory() as place:
        Path(place, "intro.json").write_text('[{"target": "Ina"}]')
        for file in files:
            Path(place, file).parent.mkdir(exist_ok=True)
            Path(place, file).write_text(json.dumps(rows))
        try:
            assert load(place)
        except UserError as error:
            complaint = str(error)
    assert "\n" not in complaint
    complaint.encode("utf-8")
