import contextlib
import json

import pytest

from rule_jax.errors import UserError
from rule_jax.journal import Journal, Trail, key_of


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


def trail(file, *numbers, broken_off=False) -> str:
    """What is in the file after a process has added these rows."""
    with contextlib.suppress(KeyboardInterrupt), Trail(file) as rows:
        for number in numbers:
            rows.add({"n": number})
        assert rows.rows == len(numbers)
        if broken_off:
            raise KeyboardInterrupt
    return " ".join(str(json.loads(line)["n"]) for line in file.read_text().splitlines())


def test_a_trail_is_on_the_disk_row_by_row(tmp_path):
    with Trail(tmp_path / "deep" / "t") as rows:
        for count in (1, 2, 3):
            rows.add({"text": "é\u2028\n"})
            assert (tmp_path / "deep" / "t").read_text().count("\n") == count


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [((1, 2), (1, 2, 3), "1 2 3"), ((1, 2, 3), (1, 4), "1 4"), ((1, 2, 3), (1, 2), "1 2"), ((1,), (), "")],
)
def test_a_rerun_goes_on_where_the_rows_agree(tmp_path, before, after, found):
    trail(tmp_path / "t", *before, broken_off=True)
    assert trail(tmp_path / "t", *after) == found


def test_what_stands_is_neither_written_again_nor_lost_when_a_rerun_is_broken_off(tmp_path):
    trail(tmp_path / "t", 1, 2, 3)
    assert trail(tmp_path / "t", 1, broken_off=True) == "1 2 3"
    assert trail(tmp_path / "t", 1, 5, broken_off=True) == "1 5"


@pytest.mark.parametrize("cut", range(1, 9))
def test_a_torn_row_is_written_anew(tmp_path, cut):
    trail(tmp_path / "t", 1, 2)
    (tmp_path / "t").write_bytes((tmp_path / "t").read_bytes()[:-cut])
    assert trail(tmp_path / "t", 1, 2) == "1 2"


def test_a_trail_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        Trail(tmp_path / "file" / "t")
