"""Files and folders that results are written to: modes, names of any length, several writes of one file, and what is taken away again."""
import os
import pathlib
import stat

import pytest

from yardstick.base import faults, writing


@pytest.fixture
def mask():
    before = os.umask(0o027)
    yield
    os.umask(before)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("before", [None, 0o600, 0o640, 0o666, 0o755, 0o444])
def test_who_may_read_a_file_stays_as_it_was(tmp_path, mask, before):
    path = tmp_path / "new/a"
    if before is not None:
        path.parent.mkdir()
        path.write_text("old")
        path.chmod(before)
    writing.write_text(path, "new")
    assert mode(path) == (0o640 if before is None else before) and path.read_text() == "new"
    assert mode(path.parent) == 0o750


# 255 bytes is what a file system gives a name; the name that a file is written under first is no longer
@pytest.mark.parametrize("name", ["a", "x" * 255, "\u00e9" * 127, "\u6f22" * 85, "\U0001f600" * 63, ".hidden", "a\nb", "\udcff" * 200, " "])
def test_a_name_as_long_as_names_can_be(tmp_path, name):
    writing.write_bytes(tmp_path / name, b"x")
    assert [p.name for p in tmp_path.iterdir()] == [name] and (tmp_path / name).read_bytes() == b"x"


def test_a_name_that_is_too_long_says_so(tmp_path):
    for path in (tmp_path / ("x" * 256), tmp_path / ("x" * 256) / "a"):
        with pytest.raises(faults.SchemaError, match="cannot be written \\(File name too long\\); give --out"):
            writing.write_bytes(path, b"x")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text,expected", [("", b""), ("\u00e9\n", b"\xc3\xa9\n"), ("a\udcffb", b"a\\udcffb"), ("\0\r\n", b"\0\r\n"),
                                           ("\U0001f600", b"\xf0\x9f\x98\x80")])
def test_text_is_utf_8_byte_for_byte(tmp_path, text, expected):
    writing.write_text(tmp_path / "a", text)
    assert (tmp_path / "a").read_bytes() == expected


def tree(folder):
    return {str(p.relative_to(folder)): p.read_text() if p.is_file() else None for p in folder.rglob("*")}


def test_the_last_of_several_writes_counts_and_nothing_is_seen_before(tmp_path):
    (tmp_path / "a").write_text("old")
    with writing.together():
        with writing.together():
            for n in range(3):
                writing.write_text(tmp_path / "a", str(n))
                writing.write_text(tmp_path / "b/c", str(n))
        assert (tmp_path / "a").read_text() == "old" and not (tmp_path / "b/c").exists()
        assert len(list(tmp_path.rglob("*.part"))) == 6
        writing.remove(tmp_path / "b/none")
    assert tree(tmp_path) == {"a": "2", "b": None, "b/c": "2"}


def test_a_file_of_before_is_removed_with_the_rest_or_not_at_all(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text("old")
    with pytest.raises(RuntimeError), writing.together():
        writing.remove(tmp_path / "a")
        raise RuntimeError
    assert tree(tmp_path) == {"a": "old", "b": "old"}
    with writing.together():
        writing.remove(tmp_path / "a")
        writing.write_text(tmp_path / "b", "new")
        assert tree(tmp_path)["a"] == "old"
    assert tree(tmp_path) == {"b": "new"}


def test_folders_that_were_made_go_and_those_that_hold_something_stay(tmp_path):
    with pytest.raises(RuntimeError), writing.together():
        writing.make_folder(tmp_path / "one/two/three")
        writing.write_text(tmp_path / "one/four/a", "x")
        (tmp_path / "one/two/of another").write_text("x")
        raise RuntimeError
    assert tree(tmp_path) == {"one": None, "one/two": None, "one/two/of another": "x"}


def test_a_place_that_cannot_be_taken_is_met_before_the_first_file_appears(tmp_path):
    with pytest.raises(faults.SchemaError, match="b: cannot be written \\(it is a folder\\)"), writing.together():
        writing.write_text(tmp_path / "a", "x")
        writing.write_text(tmp_path / "b", "x")
        (tmp_path / "b").mkdir()
    assert tree(tmp_path) == {"b": None}


def kinds_of_places(folder):
    (folder / "file").write_text("x")
    (folder / "folder").mkdir()
    (folder / "to folder").symlink_to("folder")
    (folder / "dangling").symlink_to("none")
    (folder / "loop").symlink_to("loop")


@pytest.mark.parametrize("place,said", [("file/a", "file: cannot be written (it is a file); give --out a folder"),
                                        ("file/a/b", "cannot be written (Not a directory)"), ("folder", "it is a folder"),
                                        ("to folder", "it is a folder"), ("dangling/a", "cannot be written (File exists)"),
                                        ("loop/a", "cannot be written (")])
def test_places_that_cannot_be_written(tmp_path, place, said):
    kinds_of_places(tmp_path)
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(faults.SchemaError) as error:
        writing.write_text(tmp_path / place, "y")
    assert said in str(error.value) and faults.told(error.value)[0] == 2
    assert sorted(os.listdir(tmp_path)) == before and not os.listdir(tmp_path / "folder")


def test_a_link_to_a_folder_is_one_and_a_dangling_file_is_replaced(tmp_path):
    kinds_of_places(tmp_path)
    writing.write_text(tmp_path / "to folder/a", "y")
    writing.write_text(tmp_path / "dangling", "y")
    assert (tmp_path / "folder/a").read_text() == "y" and not (tmp_path / "dangling").is_symlink() and not (tmp_path / "none").exists()


def test_a_relative_place_is_below_where_the_command_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    writing.write_text("a", "x")
    writing.write_text(pathlib.Path("b/../c/d"), "x")
    assert {"a", "c/d"} <= set(tree(tmp_path)) and not list(tmp_path.rglob("*.part"))
