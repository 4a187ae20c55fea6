"""rule_jax.files: a reader sees the old file or the new one, and the disk's refusals are the user's to mend."""

import os
import resource
import shutil
import stat

import pytest

from rule_jax import files
from rule_jax.errors import UserError


def test_text_is_written_as_it_is_and_folders_are_made(tmp_path):
    path = tmp_path / "new" / "deep" / "a.txt"
    files.write_text(path, "Zoë\r\nsays “hi”\n")
    assert path.read_bytes() == "Zoë\r\nsays “hi”\n".encode()
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_json_is_a_line_per_entry_and_reads_back(tmp_path):
    content = {"name": "Zoë", "rates": [0.1, None, True]}
    files.write_json(tmp_path / "a.json", content)
    assert files.read_json(tmp_path / "a.json") == content
    assert '"name": "Zoë",\n' in (tmp_path / "a.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"deep": [float("-inf")]}, object()])
def test_what_json_cannot_hold_leaves_the_old_file(tmp_path, value):
    files.write_json(tmp_path / "a.json", {"old": 1})
    with pytest.raises((ValueError, TypeError)):
        files.write_json(tmp_path / "a.json", {"new": value})
    assert files.read_json(tmp_path / "a.json") == {"old": 1}


def test_a_reader_that_has_the_old_file_open_keeps_it(tmp_path):
    path = tmp_path / "a.txt"
    files.write_text(path, "old")
    with path.open() as reader:
        files.write_text(path, "new and longer")
        assert reader.read() == "old"
    assert path.read_text() == "new and longer"


def test_a_full_disk_leaves_the_old_file_and_no_draft(tmp_path):
    path = tmp_path / "a.txt"
    files.write_text(path, "old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(UserError, match=r"a.txt cannot be written: File too large. Make room, or choose another"):
            files.write_text(path, "x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_path_that_is_a_folder_or_lies_in_a_file(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match=r"folder cannot be written: Is a directory"):
        files.write_text(tmp_path / "folder", "text")
    with pytest.raises(UserError, match=r"a.txt cannot be written"):
        files.write_text(tmp_path / "file" / "a.txt", "text")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        with pytest.raises(UserError, match=r"a.txt cannot be written: Permission denied"):
            files.write_text(tmp_path / "a.txt", "text")
    finally:
        tmp_path.chmod(stat.S_IRWXU)


def test_a_file_that_is_not_there_names_its_neighbours(tmp_path):
    (tmp_path / "b.json").write_text("{}")
    with pytest.raises(UserError, match=r"has no a.json; it has: b.json$"):
        files.read_json(tmp_path / "a.json")
    with pytest.raises(UserError, match=r"has no a.json; it has: nothing$"):
        files.read_json(tmp_path / "nowhere" / "a.json")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"{", "is not valid JSON"),
        (b"", "is not valid JSON"),
        (b"\xff\xfe{}", "is not valid JSON"),
        (b"9" * 5000, "is not valid JSON"),
        (b"[" * 100_000, "is not valid JSON"),
        (b"[1]", "holds a JSON list, expected an object"),
        (b"null", "holds a JSON NoneType, expected an object"),
    ],
    ids=["cut", "empty", "not UTF-8", "a long number", "deep", "a list", "null"],
)
def test_what_is_no_json_object_is_refused_by_name(tmp_path, content, expected):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(UserError, match=rf"a.json {expected}"):
        files.read_json(tmp_path / "a.json")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(("umask", "file", "folder"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700)])
def test_what_is_unfinished_is_private_and_what_is_done_is_as_the_umask_says(tmp_path, umask, file, folder):
    before = os.umask(umask)
    try:
        with files.draft(tmp_path / "a.txt") as draft:
            [private] = tmp_path.iterdir()
            assert mode(private) == 0o600
            draft.write(b"text")
        with files.whole_folder(tmp_path / "out") as private:
            assert mode(private) == 0o700
        assert (mode(tmp_path / "a.txt"), mode(tmp_path / "out")) == (file, folder)
        assert os.umask(umask) == umask
    finally:
        os.umask(before)


def test_a_draft_follows_no_link_and_its_name_is_another_each_time(tmp_path):
    seen = set()
    for _ in range(3):
        with files.draft(tmp_path / "a.txt") as draft:
            [private] = [place.name for place in tmp_path.iterdir() if place.name != "a.txt"]
            draft.write(b"text")
        seen.add(private)
    assert len(seen) == 3
    (tmp_path / "elsewhere").write_text("kept")
    (tmp_path / "a.txt").unlink()
    (tmp_path / "a.txt").symlink_to("elsewhere")
    files.write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "elsewhere").read_text() == "kept"
    assert not (tmp_path / "a.txt").is_symlink()


def test_drafts_of_processes_that_were_killed_are_swept_away(tmp_path):
    with files.draft(tmp_path / "deep" / "a.txt"), files.whole_folder(tmp_path / "out"):
        left = list(tmp_path.rglob(".*"))
    assert len(left) == 2
    for place in left:
        place.touch()
    files.sweep(tmp_path)
    assert sorted(place.name for place in tmp_path.rglob("*")) == ["a.txt", "deep", "out"]


# Folders


def names(folder):
    return sorted(place.name for place in folder.iterdir())


def test_a_folder_appears_when_it_is_whole(tmp_path):
    out = tmp_path / "deep" / "out"
    with files.whole_folder(out) as draft:
        (draft / "a").write_text("new")
        assert not out.exists()
        assert stat.S_IMODE(draft.stat().st_mode) == 0o700
    assert (out / "a").read_text() == "new"
    assert names(out.parent) == ["out"]
    assert stat.S_IMODE(out.stat().st_mode) == 0o755
    with files.whole_folder(out) as draft:
        (draft / "b").write_text("newer")
    assert names(out) == ["b"]
    assert names(out.parent) == ["out"]


def test_a_folder_that_fails_leaves_what_was_there(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()

    def interrupted():
        with files.whole_folder(tmp_path / "out") as draft:
            (draft / "half").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (names(tmp_path), names(tmp_path / "out")) == (["out"], ["old"])


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match=r"out cannot be written: .*Choose another place"),
        files.whole_folder(tmp_path / "file" / "out"),
    ):
        pass


# A folder in use


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (None, True),
        ([], True),
        ([".lock", ".config.json.4711.tmp"], True),  # killed before its first file was there
        ([".lock", "config.json"], False),
        (["thesis.txt"], False),
        ([".hidden"], False),
    ],
)
def test_a_folder_that_nobody_has_written_to_yet(tmp_path, left, expected):
    if left is not None:
        (tmp_path / "run").mkdir()
        for name in left:
            (tmp_path / "run" / name).touch()
    assert files.is_unwritten(tmp_path / "run") == expected


def test_a_file_is_no_folder_to_write_to(tmp_path):
    (tmp_path / "run").touch()
    assert not files.is_unwritten(tmp_path / "run")


@pytest.mark.parametrize("stopped_at", ["data", "a_folder", "zeta"])
def test_what_a_folder_is_known_by_is_removed_last(tmp_path, monkeypatch, stopped_at):
    """Whatever it is that stops a clearing: the same command finds what it needs to go on with it."""
    for name in ("zeta", "data", "a_folder"):
        (tmp_path / name).mkdir()
    for name in ("config.json", ".lock", "b.txt"):
        (tmp_path / name).touch()
    remove = shutil.rmtree

    def stop(place):
        if place.name == stopped_at:
            raise KeyboardInterrupt
        remove(place)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", stop)
        with pytest.raises(KeyboardInterrupt):
            files.clear(tmp_path, last="config.json")
    assert "config.json" in names(tmp_path)
    files.clear(tmp_path, last="config.json")
    assert names(tmp_path) == [".lock"]
