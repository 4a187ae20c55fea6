import json

import pytest

from rule_jax.errors import UserError
from rule_jax.journal import Journal, key_of


def test_entries_come_back_and_the_last_of_a_key_counts(tmp_path):
    file = tmp_path / "deep" / "journal.jsonl"
    with Journal(file) as journal:
        journal.add("a", {"text": "é\u2028\n"})
        journal.add("b", {"text": "2"})
        journal.add("a", {"text": "3"})
        assert journal.get("a") == {"text": "3"}
    with Journal(file) as journal:
        assert len(journal) == 2
        assert journal.entries() == [{"text": "3"}, {"text": "2"}]
        assert journal.get("c") is None


def test_an_entry_is_on_the_disk_when_add_returns(tmp_path):
    with Journal(tmp_path / "j") as journal:
        journal.add("a", {"x": 1})
        assert json.loads((tmp_path / "j").read_text()) == {"key": "a", "x": 1}


@pytest.mark.parametrize("cut", range(1, 20))
def test_a_line_that_a_crash_has_torn_is_dropped(tmp_path, cut):
    file = tmp_path / "j"
    with Journal(file) as journal:
        journal.add("a", {"x": "y"})
        whole = file.read_bytes()
        journal.add("b", {"x": "zzzzzzzz"})
    file.write_bytes(file.read_bytes()[:-cut])
    with Journal(file) as journal:
        assert len(journal) == 1
        journal.add("c", {"x": "w"})
    assert file.read_bytes() == whole + b'{"key": "c", "x": "w"}\n'


@pytest.mark.parametrize("line", ["nonsense", "[]", '{"x": 1}', "3"])
def test_another_file_is_refused_by_the_line(tmp_path, line):
    (tmp_path / "j").write_text(f'{{"key": "a"}}\n{line}\n')
    with pytest.raises(UserError, match="j line 2 is no entry"):
        Journal(tmp_path / "j")


def test_one_process_at_a_time(tmp_path):
    with Journal(tmp_path / "j"), pytest.raises(UserError, match="in use by another process"):
        Journal(tmp_path / "j")
    Journal(tmp_path / "j").__exit__()


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        Journal(tmp_path / "file" / "j")


def test_keys():
    assert key_of({"a": 1, "b": [1, 2]}) == key_of({"b": [1, 2], "a": 1})
    assert key_of({"a": 1}) != key_of({"a": 1.5})
    assert key_of(["\ud800"]) != key_of(["\ud801"])
