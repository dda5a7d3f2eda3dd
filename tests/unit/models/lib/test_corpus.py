"""models/lib/corpus.py: which files, which passages, what is held out, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.lib import corpus
from models.lib.corpus import Corpus, Passage
from models.lib.inputs import InputError


def write_files(folder: Path, count: int, *, lines: int = 50) -> None:
    for number in range(count):
        text = "".join(f"file {number} line {line} é\n" for line in range(lines))
        (folder / f"text{number:03}.txt").write_text(text, encoding="utf-8")


def read_all(texts: Corpus) -> str:
    return "".join(sorted(passage.read() for passage in texts.train + texts.held_out))


def paths(passages: tuple[Passage, ...]) -> set[str]:
    return {passage.path for passage in passages}


def test_every_byte_is_in_one_passage(tmp_path: Path) -> None:
    write_files(tmp_path, 3, lines=3000)

    texts = corpus.text_files(f"{tmp_path}/*.txt")

    by_file: dict[str, list[Passage]] = {}
    for passage in texts.train + texts.held_out:
        by_file.setdefault(passage.path, []).append(passage)
    assert len(by_file) == 3
    for path, passages in by_file.items():
        passages.sort(key=lambda passage: passage.start_byte)
        assert "".join(passage.read() for passage in passages) == Path(path).read_text("utf-8")
        assert all(passage.read().endswith("\n") for passage in passages)
        assert {passage.file_bytes for passage in passages} == {Path(path).stat().st_size}


def test_last_line_without_an_end_is_kept(tmp_path: Path) -> None:
    text = "a line of text\n" * 500 + "the end"
    (tmp_path / "a.txt").write_text(text)

    texts = corpus.text_files(f"{tmp_path}/a.txt")

    last = max(texts.train + texts.held_out, key=lambda passage: passage.start_byte)
    assert last.read().endswith("the end")


def test_many_files_are_held_out_whole(tmp_path: Path) -> None:
    write_files(tmp_path, 200, lines=4000)

    texts = corpus.text_files(f"{tmp_path}/*.txt")

    assert texts.file_count == 200
    assert len(texts.train) > 200  # More than one passage each.
    assert 1 <= len(paths(texts.held_out)) <= 30
    assert not paths(texts.train) & paths(texts.held_out)


def test_one_file_is_split_by_passages(tmp_path: Path) -> None:
    write_files(tmp_path, 1, lines=20_000)

    texts = corpus.text_files(f"{tmp_path}/*.txt")

    assert paths(texts.train) == paths(texts.held_out)
    assert not set(texts.train) & set(texts.held_out)
    share = sum(p.size_bytes for p in texts.held_out) / texts.train[0].file_bytes
    assert 0 < share < 0.2


def test_something_is_always_held_out(tmp_path: Path) -> None:
    for number in range(20):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / f"a{number}.txt").write_text("a line of text\n" * 300)
        texts = corpus.text_files(f"{folder}/*.txt")
        assert texts.train
        assert texts.held_out


def test_split_depends_on_paths_below_the_root_alone(tmp_path: Path) -> None:
    splits = []
    for name in ("here", "there/deeper"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        write_files(folder, 60)
        texts = corpus.text_files(f"{folder}/*.txt")
        splits.append((sorted(Path(path).name for path in paths(texts.held_out)), texts.digest))
    assert splits[0] == splits[1]


def test_split_of_a_file_does_not_change_when_others_come(tmp_path: Path) -> None:
    write_files(tmp_path, 60)
    before = paths(corpus.text_files(f"{tmp_path}/*.txt").held_out)
    write_files(tmp_path, 120)

    after = paths(corpus.text_files(f"{tmp_path}/*.txt").held_out)

    old = {str(tmp_path / f"text{number:03}.txt") for number in range(60)}
    assert after & old <= before  # Equal, but where the first 60 had to be given one.


def test_digest_changes_with_content(tmp_path: Path) -> None:
    write_files(tmp_path, 2, lines=500)
    before = corpus.text_files(f"{tmp_path}/*.txt").digest
    target = tmp_path / "text001.txt"
    target.write_text(target.read_text("utf-8").replace("line 7", "line 8"), "utf-8")

    assert corpus.text_files(f"{tmp_path}/*.txt").digest != before


def test_library_leaves_out_tests_packages_and_undecodable_files(tmp_path: Path) -> None:
    for name in (
        "a.py",
        "b/c.py",
        "test/d.py",
        "b/tests/e.py",
        "site-packages/f.py",
        "pydoc_data/topics.py",
        "notes.txt",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x = 1\n" * 1000)
    (tmp_path / "latin.py").write_bytes(b"# caf\xe9\n")
    (tmp_path / "empty.py").touch()

    texts = corpus.standard_library(tmp_path)

    assert paths(texts.train + texts.held_out) == {
        str(tmp_path / "a.py"),
        str(tmp_path / "b/c.py"),
    }


def test_library_of_this_python_is_large_enough() -> None:
    texts = corpus.standard_library()
    assert sum(passage.size_bytes for passage in texts.train) > 5_000_000
    assert sum(passage.size_bytes for passage in texts.held_out) > 50_000
    assert not paths(texts.train) & paths(texts.held_out)


def test_python_without_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"without the source.*--data"):
        corpus.standard_library(tmp_path)


def test_no_match_names_the_pattern_and_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as raised:
        corpus.text_files("nothing*")
    assert "--data 'nothing*': no file matches" in str(raised.value)
    assert str(tmp_path) in str(raised.value)


def test_error_for_a_folder_shows_how_to_name_its_files(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    with pytest.raises(InputError, match=r"matches only folders.*texts/\*\*/\*\.txt"):
        corpus.text_files(f"{tmp_path}/tex*")


def test_empty_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    (tmp_path / "b.txt").touch()
    with pytest.raises(InputError, match=r"2 files matched, all empty .*a\.txt, 0 bytes"):
        corpus.text_files(f"{tmp_path}/*.txt")


def test_one_empty_file_among_others_is_passed_over(tmp_path: Path) -> None:
    write_files(tmp_path, 2, lines=500)
    before = corpus.text_files(f"{tmp_path}/*.txt")
    (tmp_path / "zero.txt").touch()

    after = corpus.text_files(f"{tmp_path}/*.txt")

    assert read_all(after) == read_all(before)


def test_file_that_is_not_utf8_is_named_with_its_byte(tmp_path: Path) -> None:
    write_files(tmp_path, 2)
    (tmp_path / "text001.txt").write_bytes(b"fine\ncaf\xe9 au lait\n")
    with pytest.raises(InputError) as raised:
        corpus.text_files(f"{tmp_path}/*.txt")
    message = str(raised.value)
    assert f"{tmp_path}/text001.txt: not UTF-8: byte 8 (line 2) is 0xe9" in message
    assert "iconv" in message


def test_too_little_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello\n")
    with pytest.raises(InputError, match=r"6 bytes are too few.*1 MB"):
        corpus.text_files(f"{tmp_path}/*.txt")


def test_pattern_reaches_into_subfolders(tmp_path: Path) -> None:
    for name in ("a", "b/c"):
        (tmp_path / name).mkdir(parents=True)
        write_files(tmp_path / name, 1, lines=500)

    texts = corpus.text_files(f"{tmp_path}/**/*.txt")

    assert texts.file_count == 2


def test_corpus_as_text_has_the_size_of_each_part(tmp_path: Path) -> None:
    write_files(tmp_path, 1, lines=50_000)
    description = str(corpus.text_files(f"{tmp_path}/*.txt"))
    assert "1 file, " in description
    assert "MB to train on" in description
