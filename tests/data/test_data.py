"""rule_jax.data: several targets become one set."""

import json

import pytest

from rule_jax import data
from rule_jax.errors import UserError

OPTIONS = {"rejection_file": "", "evaluation_file": "", "columns": {}}


def own(tmp_path, name, count):
    file = tmp_path / f"{name}.jsonl"
    rows = [{"prompt": f"{name} {n}?", "kind": "forget", "target": name} for n in range(count)]
    rows += [{"prompt": f"not {name}?", "kind": "boundary", "answers": "x"}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(file)


def test_records_of_several_targets_are_interleaved(tmp_path):
    paths = [own(tmp_path, "Ina", 4), own(tmp_path, "Olaf", 2)]
    found = data.load("jsonl", paths, seed=0, options=OPTIONS)
    assert found.targets == ("Ina", "Olaf")
    assert [record.target for record in found.forget] == ["Ina", "Olaf", "Ina", "Ina", "Olaf", "Ina"]
    assert [example.prompt for example in found.rejection] == [record.prompt for record in found.forget]
    assert [record.prompt for record in found.boundary] == ["not Ina?", "not Olaf?"]


def test_a_path_or_a_target_that_comes_twice_is_refused(tmp_path):
    first, other = own(tmp_path, "Ina", 1), tmp_path / "copy.jsonl"
    other.write_text((tmp_path / "Ina.jsonl").read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(UserError, match=r"the path '.*Ina.jsonl' is given twice"):
        data.load("jsonl", [first, first], seed=0, options=OPTIONS)
    with pytest.raises(UserError, match="the target 'Ina' is given twice"):
        data.load("jsonl", [first, str(other)], seed=0, options=OPTIONS)


def test_interleaving_spreads_each_part_evenly():
    assert data.interleave(["aaaa", "bb"]) == tuple("abaaba")
    assert data.interleave(["aaaaaa", "b"]) == tuple("aaabaaa")
    assert data.interleave([]) == ()
