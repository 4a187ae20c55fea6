"""rule_jax.data._rows: well-formed rows come through; all else is a UserError: what, where, what to do."""

import json
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rule_jax.data import _rows
from rule_jax.errors import UserError

FIELDS = {
    "prompt": _rows.TEXT,
    "note": _rows.Field("a string", _rows.is_string, required=False),
    "answers": _rows.TEXTS,
}
GOOD = {"prompt": "Who keeps the lighthouse?", "answers": ["Ina Volk"]}


def read(path, *, closed=False):
    faults = _rows.Faults()
    rows = _rows.read(path, FIELDS, faults, closed=closed)
    faults.stop()
    return rows


def message(path, *, closed=False):
    with pytest.raises(UserError) as caught:
        read(path, closed=closed)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def test_rows_of_an_array_are_numbered_from_one(tmp_path):
    path = write(tmp_path / "rows.json", json.dumps([GOOD, {**GOOD, "note": "", "extra": 3}]))
    assert read(path) == [(1, GOOD), (2, {**GOOD, "note": "", "extra": 3})]


def test_rows_of_lines_are_numbered_by_line(tmp_path):
    path = write(tmp_path / "rows.jsonl", f"{json.dumps(GOOD)}\r\n\n{json.dumps(GOOD)}\n")
    assert [row.number for row in read(path)] == [1, 3]


def test_a_json_file_may_hold_lines_too(tmp_path):
    path = write(tmp_path / "rows.json", f"{json.dumps(GOOD)}\n{json.dumps(GOOD)}\n")
    assert read(path) == [(1, GOOD), (2, GOOD)]


def test_a_line_separator_inside_a_string_ends_no_row(tmp_path):
    row = {**GOOD, "prompt": "before\u2028after"}
    path = write(tmp_path / "rows.jsonl", json.dumps(row, ensure_ascii=False))
    assert read(path) == [(1, row)]


def test_a_byte_order_mark_is_let_pass(tmp_path):
    assert read(write(tmp_path / "rows.json", b"\xef\xbb\xbf" + json.dumps([GOOD]).encode())) == [(1, GOOD)]


def test_every_malformed_row_is_told_at_once(tmp_path):
    rows = [
        GOOD,
        "text",
        {"prompt": 5, "answers": ["a"]},
        {"promt": "x", "answers": ["a"]},
        {**GOOD, "answers": ["a", " "]},
        {**GOOD, "note": "\ud800"},
    ]
    text = message(write(tmp_path / "rows.json", json.dumps(rows)))
    assert text.startswith(f"5 faults in the rows of {tmp_path}: ")
    assert 'rows.json row 2: found "text", expected an object with prompt, note, answers' in text
    assert "rows.json row 3, field 'prompt': found 5, expected a string that is not blank" in text
    assert "rows.json row 4, field 'prompt': found no such field in an object with promt, answers" in text
    assert "rows.json row 5, field 'answers': found a list of 2, expected a list of strings that are not blank" in text
    assert "rows.json row 6, field 'note': found" in text
    assert text.endswith("Mend what is named and start again.")


def test_faults_are_told_once_and_in_the_order_of_the_rows(tmp_path):
    faults = _rows.Faults()
    for name, number in (("b.jsonl", 2), ("b.jsonl", 1), ("a.jsonl", 1), ("b.jsonl", 2)):
        faults.add(tmp_path / name, number, "x", "y", "z")
    with pytest.raises(UserError) as caught:
        faults.stop()
    assert re.findall(r"(\w)\.jsonl row (\d)", str(caught.value)) == [("b", "1"), ("b", "2"), ("a", "1")]


def test_one_fault_is_one_malformed_row(tmp_path):
    text = message(write(tmp_path / "rows.json", json.dumps([GOOD, {**GOOD, "prompt": " \n"}])))
    assert text.startswith(f"1 malformed row of {tmp_path}: rows.json row 2, field 'prompt': found \" \\n\", expected")


def test_twenty_faults_are_listed_and_the_rest_counted(tmp_path):
    text = message(write(tmp_path / "rows.json", json.dumps([{"answers": []}] * 27)))
    assert text.startswith("27 faults")
    assert "row 20," in text
    assert "row 21," not in text
    assert "; and 7 more." in text


def test_faults_of_several_files_are_told_together(tmp_path):
    faults = _rows.Faults()
    for name in ("a.json", "b.jsonl"):
        _rows.read(write(tmp_path / name, "[3]"), FIELDS, faults, closed=False)
    with pytest.raises(UserError, match=r"2 faults.*a\.json row 1: found 3.*b\.jsonl row 1: found a list of 1"):
        faults.stop()


def test_malformed_rows_are_left_out_of_what_read_returns(tmp_path):
    faults = _rows.Faults()
    path = write(tmp_path / "rows.json", json.dumps([{"answers": []}, GOOD]))
    assert _rows.read(path, FIELDS, faults, closed=False) == [(2, GOOD)]
    assert len(faults.lines) == 1


def test_an_unknown_field_is_a_fault_only_where_fields_are_closed(tmp_path):
    path = write(tmp_path / "rows.json", json.dumps([{**GOOD, "notes": "x"}]))
    assert len(read(path)) == 1
    text = message(path, closed=True)
    assert "rows.json row 1, field 'notes': found an unknown field, expected prompt, note, answers only." in text
    assert "Did you mean 'note'?" in text


def test_a_long_value_is_cut(tmp_path):
    text = message(write(tmp_path / "rows.json", json.dumps([{**GOOD, "answers": "x" * 500}])))
    assert "x" * 59 + "..." in text
    assert "x" * 60 not in text


def test_a_missing_file_shows_what_the_folder_has(tmp_path):
    write(tmp_path / "reject.json", "[]")
    write(tmp_path / "intro.json", "[]")
    text = message(tmp_path / "rejct.json")
    assert f"There is no file {tmp_path / 'rejct.json'}; {tmp_path} has intro.json, reject.json." in text
    assert text.endswith("Correct the path. Did you mean 'reject.json'?")


def test_a_missing_folder_shows_what_its_nearest_parent_has(tmp_path):
    (tmp_path / "1_Ina_Volk").mkdir()
    with pytest.raises(UserError, match=r"There is no folder .*1_Ina_Vlok; .* has 1_Ina_Volk.*mean '1_Ina_Volk'"):
        _rows.folder(tmp_path / "1_Ina_Vlok")
    assert f"{tmp_path} has 1_Ina_Volk. Correct the path. Did you mean '1_Ina_Volk'" in message(
        tmp_path / "1_Ina_Vlok" / "sub" / "rows.json"
    )


def test_a_file_is_no_folder_and_a_folder_no_file(tmp_path):
    path = write(tmp_path / "rows.json", "[]")
    with pytest.raises(UserError, match=r"rows\.json is a file; a folder is needed here, perhaps"):
        _rows.folder(path)
    (tmp_path / "more.json").mkdir()
    assert "more.json is a folder; a file is needed here. It has nothing." in message(tmp_path / "more.json")


def test_a_listing_is_cut():
    with tempfile.TemporaryDirectory() as folder:
        for number in range(45):
            (Path(folder) / f"{number:02}").touch()
        assert _rows.listing(Path(folder)).endswith("38, 39 and 5 more")


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (
            "a.json",
            '[{"prompt": "x",\n "answers": [}]',
            "is not JSON at line 2, column 14: Expecting value. Mend it there.",
        ),
        ("a.json", "[{}]\n[{}]", "is not JSON at line 2, column 1: Extra data. Mend it there."),
        ("a.json", " \n", "is empty: it has no rows. Fill it, or name another file."),
        ("a.json", "[]", "is empty: it has no rows."),
        ("a.jsonl", "\n\n", "is empty: it has no rows."),
        ("a.json", '{"prompt": "x"}', "holds an object with prompt where an array of rows, [{...}, ...], is expected."),
        ("a.json", "null", "holds null where an array of rows"),
        ("a.json", "{}", "holds an empty object where an array of rows"),
        (
            "a.json",
            b'[{"prompt": "caf\xe9"}]',
            "byte 16 is not UTF-8 (invalid continuation byte). Save the file as UTF-8.",
        ),
        ("a.json", "[" * 100_000, "is JSON that cannot be read: it is nested too deeply. Mend or replace it."),
        ("a.json", f"[{'9' * 5000}]", "is JSON that cannot be read: Exceeds the limit"),
        (
            "a.jsonl",
            '{"prompt": "x"',
            "a.jsonl row 1: found no JSON at column 15 (Expecting ',' delimiter), expected one",
        ),
        ("a.jsonl", "9" * 5000, "a.jsonl row 1: found JSON that cannot be read (Exceeds the limit"),
        ("a.csv", "prompt,answers", "a name that ends in .json, .jsonl, .ndjson is expected. Convert or rename it."),
    ],
)
def test_a_spoilt_file_says_what_and_where(tmp_path, name, content, expected):
    path = write(tmp_path / name, content)
    text = message(path)
    assert expected in text
    assert str(tmp_path) in text


def test_an_unreadable_file_says_why(tmp_path, monkeypatch):
    path = write(tmp_path / "rows.json", json.dumps([GOOD]))

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)  # root may read everything, so modes prove nothing
    assert f"{path} cannot be read: Permission denied. Mend that and start again." in message(path)


def test_a_name_that_no_terminal_accepts_is_spelt_out():
    faults = _rows.Faults()
    faults.add(Path("two\nlines\udcff.json"), 1, "\udcff", "nothing", "something")
    with pytest.raises(UserError) as caught:
        faults.stop()
    str(caught.value).encode("utf-8")
    assert "two\\nlines\\udcff.json" in str(caught.value)


ANY_TEXT = st.text(st.characters(exclude_categories=()))  # with halves of surrogate pairs, which text() leaves out
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT | st.sampled_from(list(FIELDS)), inner),
    max_leaves=12,
)
ROW = st.fixed_dictionaries({}, optional=dict.fromkeys((*FIELDS, "promt"), ANY_JSON))
QUIET = settings(max_examples=150, deadline=None, database=None)


def rows_or_user_error(content, suffix, closed):
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / f"rows{suffix}", content)
        rows, complaint = [], ""
        try:
            rows = read(path, closed=closed)
        except UserError as error:
            complaint = str(error)
    assert bool(rows) != bool(complaint)
    assert "\n" not in complaint
    complaint.encode("utf-8")
    for row in rows:
        assert _rows.is_text(row.values["prompt"])
        assert _rows.are_texts(row.values["answers"])
        assert _rows.is_string(row.values.get("note", ""))


@QUIET
@given(value=ANY_JSON | st.lists(ROW), suffix=st.sampled_from([".json", ".jsonl"]), closed=st.booleans())
def test_any_json_gives_rows_or_a_user_error(value, suffix, closed):
    rows_or_user_error(json.dumps(value), suffix, closed)


@QUIET
@given(content=st.binary() | st.text().map(lambda text: text.encode()), suffix=st.sampled_from([".json", ".jsonl"]))
def test_any_bytes_give_rows_or_a_user_error(content, suffix):
    rows_or_user_error(content, suffix, closed=True)


@QUIET
@given(rows=st.lists(ROW, min_size=1), cut=st.integers(0, 200))
def test_a_file_that_was_cut_gives_rows_or_a_user_error(rows, cut):
    lines = "\n".join(json.dumps(row) for row in rows).encode()
    rows_or_user_error(lines[:cut], ".jsonl", closed=False)
    rows_or_user_error(json.dumps(rows).encode()[:cut], ".json", closed=False)
