"""rule_jax.data._tables: the same rows out of CSV, Parquet and the hub's layout, the same care with broken ones."""

import json
import tarfile
import tempfile
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rule_jax.data import _rows, _tables
from rule_jax.errors import UserError
from tests.data import hub_layout

FIELDS = {
    "prompt": _rows.TEXT,
    "answers": _rows.Field("texts", lambda value: _rows.is_text(value) or _rows.are_texts(value), required=False),
}


def read(path, closed=False, columns=None):
    faults = _rows.Faults()
    rows = _tables.read(Path(path), FIELDS, faults, closed=closed, columns=columns)
    faults.stop()
    return [(row.number, row.values) for row in rows]


def message(call, *args, **kwargs):
    with pytest.raises(UserError) as caught:
        call(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def parquet(path, rows):
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize(("ending", "comma"), [(".csv", ","), (".tsv", "\t")])
def test_a_header_names_the_columns_and_an_empty_cell_is_no_field(tmp_path, ending, comma):
    text = f'\ufeffprompt{comma}answers\r\n"Who, and\nwhere?"{comma}Ina\r\nWhat?{comma}\r\n\r\nWhy?\r\n'
    assert read(write(tmp_path / f"rows{ending}", text)) == [
        (1, {"prompt": "Who, and\nwhere?", "answers": "Ina"}),
        (2, {"prompt": "What?"}),
        (3, {"prompt": "Why?"}),
    ]


def test_a_list_in_a_cell_is_json(tmp_path):
    text = 'prompt,answers\nWho?,"[""Ina"", ""I. Volk""]"\nWhat?,[sic] so\n'
    assert [values["answers"] for _, values in read(write(tmp_path / "rows.csv", text))] == [
        ["Ina", "I. Volk"],
        "[sic] so",
    ]


def test_parquet_rows(tmp_path):
    path = parquet(tmp_path / "rows.parquet", [{"prompt": "Who?", "answers": ["Ina"]}, {"prompt": "What?"}])
    assert read(path) == [(1, {"prompt": "Who?", "answers": ["Ina"]}), (2, {"prompt": "What?"})]


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_columns_may_have_other_names_and_messages_use_those(tmp_path, ending):
    rows = [{"question": "Who?", "answers": "Ina"}, {"question": " ", "answers": "Ina"}]
    path = tmp_path / f"rows{ending}"
    if ending == ".parquet":
        parquet(path, rows)
    elif ending == ".csv":
        write(path, "question,answers\nWho?,Ina\n ,Ina\n")
    else:
        write(path, "".join(json.dumps(row) + "\n" for row in rows))
    text = message(read, path, closed=True, columns={"prompt": "question"})
    assert text.startswith(f"1 malformed row of {tmp_path}: rows{ending} row 2, field 'question': found")


def test_mapped_rows_have_our_names(tmp_path):
    path = write(tmp_path / "rows.csv", "question,answers\nWho?,Ina\n")
    assert read(path, closed=True, columns={"prompt": "question"}) == [(1, {"prompt": "Who?", "answers": "Ina"})]
    assert "field 'prompt': found an unknown field, expected question, answers only" in message(
        read, write(tmp_path / "b.csv", "question,prompt\nWho?,x\n"), closed=True, columns={"prompt": "question"}
    )


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", "", "is empty"),
        ("a.csv", "prompt,answers\n", "is empty"),
        ("a.csv", "prompt,prompt\nx,y\n", "two columns have one name in prompt, prompt. Rename one."),
        ("a.csv", "prompt\nx,y\n", "a.csv row 1: found 2 cells, expected 1, as the header has."),
        ("a.csv", 'prompt\n"x\n', "is not CSV at line 2: unexpected end of data. Mend it there."),
        ("a.csv", b"prompt\n\xff\n", "byte 7 is not UTF-8"),
        ("a.parquet", b"PAR1", "is not Parquet: "),
        ("a.xlsx", b"PK", "a name that ends in .json, .jsonl, .ndjson, .csv, .tsv, .parquet is expected"),
    ],
)
def test_a_spoilt_file_says_what_and_where(tmp_path, name, content, expected):
    assert expected in message(read, write(tmp_path / name, content))


def test_an_empty_or_missing_parquet_file(tmp_path):
    empty = pyarrow.table({"prompt": pyarrow.array([], pyarrow.string())})
    pyarrow.parquet.write_table(empty, tmp_path / "rows.parquet")
    assert "rows.parquet is empty: it has no rows." in message(read, tmp_path / "rows.parquet")
    assert "Did you mean 'rows.parquet'?" in message(read, tmp_path / "row.parquet")


def test_a_value_that_json_does_not_know_is_shown(tmp_path):
    path = parquet(tmp_path / "rows.parquet", [{"prompt": b"Who?"}])
    assert "rows.parquet row 1, field 'prompt': found \"b'Who?'\", expected" in message(read, path)


# The hub


def test_a_data_set_in_the_hubs_layout(tmp_path):
    address = hub_layout.make(tmp_path / "own", {("qa", "train"): [{"prompt": "Who?"}, {"prompt": ""}]})
    place, table, faults = _tables.place(address), _tables.Table("elsewhere", "qa", "train"), _rows.Faults()
    assert [row.number for row in place.rows(table, FIELDS, faults)] == [1]
    assert message(faults.stop).startswith(f"1 malformed row of {address}: qa[train] row 2, field 'prompt': found")
    assert place.has(table)
    assert not place.has(_tables.Table("qa", "qa", "test"))
    assert not place.has(_tables.Table("qa", "mc", "train"))
    assert f"{address} has no split 'trian' of 'qa'; it has train. Did you mean 'train'?" in message(
        place.rows, _tables.Table("qa", "qa", "trian"), FIELDS, faults
    )
    assert f"{address} has no config 'aq'; it has qa." in message(
        place.rows, _tables.Table("qa", "aq", "train"), FIELDS, faults
    )


def test_two_folders_of_one_name_are_not_mistaken_for_each_other(tmp_path):
    table, found = _tables.Table("qa", "qa", "train"), []
    for number in (1, 2):
        address = hub_layout.make(tmp_path / str(number) / "own", {("qa", "train"): [{"prompt": str(number)}]})
        found += _tables.place(address).rows(table, FIELDS, _rows.Faults())
    assert [row.values["prompt"] for row in found] == ["1", "2"]


@pytest.mark.parametrize("path", ["../secret.jsonl", "{}/secret.jsonl"])
def test_a_data_set_that_points_elsewhere_is_not_followed(tmp_path, path):
    (tmp_path / "secret.jsonl").write_text('{"prompt": "secret"}\n')
    address = hub_layout.make(tmp_path / "set", {("own", "test"): [{"prompt": "Who?"}]})
    card = tmp_path / "set" / "README.md"
    card.write_text(card.read_text().replace("own/test-*", path.format(tmp_path)))
    place, faults = _tables.place(address), _rows.Faults()
    with pytest.raises(UserError, match="points outside its own folder, which is never followed") as caught:
        place.rows(_tables.Table("own", "own", "test"), {"prompt": _rows.TEXT}, faults)
    assert "\n" not in str(caught.value)


def test_a_data_set_of_archives_is_not_unpacked(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("a.txt"))
    (tmp_path / "README.md").write_text("---\nconfigs:\n- config_name: own\n  data_files: a.tar\n---\n")
    with pytest.raises(UserError, match="is read as webdataset; only parquet, json, csv are read"):
        _tables.place(f"hub:{tmp_path}").rows(
            _tables.Table("own", "own", "train"), {"prompt": _rows.TEXT}, _rows.Faults()
        )


@pytest.mark.parametrize("name", ["locuslab/NO_SUCH_SET", "/nowhere/at/all"])
def test_a_data_set_that_cannot_be_reached_is_one_clear_line(name):
    text = message(_tables.place(f"hub:{name}").has, _tables.Table("qa", "qa", "train"))
    assert text.startswith(f"hub:{name} cannot be loaded (")
    assert "Check the name and the network; with HF_HUB_OFFLINE=1 only what is in the cache can be read." in text


def test_an_address_that_is_neither(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "names no data set; write hub:OWNER/NAME" in message(_tables.place, "hub:#x")
    assert "If it is a data set of the hub, write hub:locuslab/TOFU." in message(_tables.place, "locuslab/TOFU")


# Whatever a file holds

CELL = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
QUIET = settings(max_examples=60, deadline=None, database=None)


def rows_or_user_error(name, content):
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / name, content)
        rows, complaint = [], ""
        try:
            rows = read(path, closed=True)
        except UserError as error:
            complaint = str(error)
    assert bool(rows) != bool(complaint)
    assert "\n" not in complaint


@QUIET
@given(rows=st.lists(st.lists(CELL, max_size=4), max_size=5), ending=st.sampled_from([".csv", ".tsv"]))
def test_any_cells_give_rows_or_a_user_error(rows, ending):
    rows_or_user_error(f"a{ending}", "prompt,answers\n" + "\n".join(",".join(row) for row in rows))


@QUIET
@given(content=st.binary(max_size=60), ending=st.sampled_from([".csv", ".tsv", ".parquet"]))
def test_any_bytes_give_rows_or_a_user_error(content, ending):
    rows_or_user_error(f"a{ending}", content)


@QUIET
@given(cut=st.integers(0, 900), turned=st.integers(0, 255))
def test_a_spoilt_parquet_file_gives_rows_or_a_user_error(cut, turned):
    with tempfile.TemporaryDirectory() as folder:
        whole = parquet(Path(folder) / "a.parquet", [{"prompt": "Who?", "answers": ["Ina"]}]).read_bytes()
    place = cut % len(whole)
    rows_or_user_error("a.parquet", whole[:place] + bytes([turned]) + whole[place + 1 :])
