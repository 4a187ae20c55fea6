"""stages._dosage: which prompts are asked, on a real tokenizer; that the count stops a run is in test_end_to_end."""

import json

import pytest
from ml_collections import ConfigDict
from tokenizers import Tokenizer, models, pre_tokenizers

from rule_jax import telemetry
from rule_jax.data import jsonl
from rule_jax.errors import UserError
from rule_jax.stages import Run, Subject, _dosage
from rule_jax.text import chat
from rule_jax.types import PromptRecord

WORDS = ("[UNK]", "who", "is", "ina", "volk", "tom", "reed", "long")


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """asked(records, too_long, limit, count) -> ([(target, words)], what the log was told). A token is a word."""
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    (tmp_path / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }} {% endfor %}")
    learner = Subject(tmp_path, None, None, chat.load_tokenizer(tmp_path, ""), ())  # type: ignore[arg-type]
    said = []
    monkeypatch.setattr(telemetry, "info", said.append)

    def ask(records, too_long, limit, count=2):
        config = ConfigDict({"seed": 0, "data": {"too_long": too_long}, "model": {"system_prompt": ""}})
        config.boundary_optimization = {"max_prompt_tokens": limit}
        run = Run(config, tmp_path, tmp_path, None)  # type: ignore[arg-type]
        jsonl.write(run.data_file("forget"), records)
        found = _dosage._asked(run, learner, count)
        return [(target, " ".join(WORDS[i] for i in ids)) for target, ids in found], said

    return ask


def record(prompt, target):
    return PromptRecord(prompt, "forget", target)


INA = [record("who is ina volk", "Ina Volk"), record("long " * 9 + "who is volk", "Ina Volk")]
TOM = [record("who is tom reed", "Tom Reed"), record("who is reed", "Tom Reed"), record("is tom", "Tom Reed")]


def test_each_target_is_asked_in_its_own_share(asked):
    found, said = asked([*INA, *TOM], "drop", 20)
    assert [target for target, _ in found] == ["Ina Volk", "Ina Volk", "Tom Reed", "Tom Reed"]
    assert said == []


def test_prompts_that_are_too_long_are_told_and_left_out_or_cut(asked):
    told = "rejection_steering: forget prompts: 1 of 5 longer than 4 tokens (longest 12): "
    found, said = asked([*INA, *TOM], "drop", 4)
    assert [words for target, words in found if target == "Ina Volk"] == ["who is ina volk"]
    assert said.pop() == told + "0 cut at the beginning, 1 left out"
    found, said = asked([*INA, *TOM], "cut", 4)
    assert {words for target, words in found if target == "Ina Volk"} == {"who is ina volk", "long who is volk"}
    assert said.pop() == told + "1 cut at the beginning, 0 left out"


def test_a_target_without_a_prompt_that_fits_is_an_error(asked):
    with pytest.raises(UserError, match=r"no forget prompt of Ina Volk fits in .*max_prompt_tokens=3"):
        asked([INA[0], *TOM], "drop", 3)
