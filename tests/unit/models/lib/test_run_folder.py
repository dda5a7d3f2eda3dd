"""models/lib/run_folder.py: which run owns a folder, how far it got, and how files are written."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from models.lib.inputs import InputError
from models.lib.run_folder import RunFolder, wait_for, write_atomically

HEADER = "epoch,loss,val_loss\n"


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "runs" / "a run")
    folder.claim({"width": 8}, {})
    return folder


def save_epochs(folder: RunFolder, content: str) -> None:
    folder.backup_folder.mkdir(parents=True)
    (folder.backup_folder / "training_metadata.json").write_text(content)


def test_claim_writes_identity_and_config(folder: RunFolder) -> None:
    folder.claim({"width": 8}, {"corpus": "some text"})
    assert json.loads(folder.config_file.read_text()) == {
        "identity": {"width": 8},
        "corpus": "some text",
    }
    assert {path.name for path in folder.path.iterdir()} == {"checkpoints", "config.json"}


def test_paths_are_written_as_text(folder: RunFolder) -> None:
    folder.claim({"width": 8}, {"data": Path("a") / "b.csv"})
    assert json.loads(folder.config_file.read_text())["data"] == "a/b.csv"


def test_run_with_the_same_identity_may_resume(folder: RunFolder) -> None:
    folder.claim({"width": 8}, {"epochs": 9})
    assert json.loads(folder.config_file.read_text())["epochs"] == 9


def test_every_other_setting_is_listed(folder: RunFolder) -> None:
    folder.claim({"width": 8}, {})
    with pytest.raises(InputError) as raised:
        folder.claim({"width": 16, "heads": 2}, {})
    message = str(raised.value)
    assert "width: 8 then, 16 now" in message
    assert "heads: None then, 2 now" in message
    assert "another --name" in message
    assert json.loads(folder.config_file.read_text())["identity"] == {"width": 8}


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '"text"', '{"identity": 3}'])
def test_damaged_config_is_refused(folder: RunFolder, content: str) -> None:
    folder.config_file.write_text(content)
    with pytest.raises(InputError, match=r"config\.json cannot be read .* Remove "):
        folder.claim({"width": 8}, {})


def test_folder_without_checkpoint_has_no_epochs(folder: RunFolder) -> None:
    assert folder.completed_epochs() == 0


def test_completed_epochs_are_those_of_the_checkpoint(folder: RunFolder) -> None:
    save_epochs(folder, '{"epoch": 3, "batch": 0}')
    assert folder.completed_epochs() == 3


@pytest.mark.parametrize("content", ["", "{", "{}", "[]", '{"epoch": null}'])
def test_damaged_checkpoint_is_refused(folder: RunFolder, content: str) -> None:
    save_epochs(folder, content)
    with pytest.raises(InputError, match=r"training_metadata\.json cannot be read"):
        folder.completed_epochs()


def test_history_is_read_as_numbers(folder: RunFolder) -> None:
    assert folder.history() == []
    folder.history_file.write_text(f"{HEADER}0,5.5,5.25\n1,4.5,4.75\n")
    assert folder.history() == [
        {"epoch": 0.0, "loss": 5.5, "val_loss": 5.25},
        {"epoch": 1.0, "loss": 4.5, "val_loss": 4.75},
    ]


def test_of_an_epoch_trained_twice_the_later_row_counts(folder: RunFolder) -> None:
    folder.history_file.write_text(f"{HEADER}0,5,5\n1,4,4\n1,3,3\n2,2,2\n")
    assert [row["loss"] for row in folder.history()] == [5, 3, 2]


def test_row_that_was_cut_short_is_passed_over(folder: RunFolder) -> None:
    folder.history_file.write_text(f"{HEADER}0,5,5\n1,4")
    assert [row["loss"] for row in folder.history()] == [5]


def test_trim_drops_epochs_that_are_trained_again(folder: RunFolder) -> None:
    folder.history_file.write_text(f"{HEADER}0,5,5\n1,4,4\n2,3,3\n")
    folder.trim_history(2)
    assert folder.history_file.read_text().splitlines() == [HEADER.strip(), "0,5,5", "1,4,4"]


def test_trim_drops_a_row_that_was_cut_short(folder: RunFolder) -> None:
    folder.history_file.write_text(f"{HEADER}0,5,5\n1,4")
    folder.trim_history(1)
    assert folder.history_file.read_text().splitlines() == [HEADER.strip(), "0,5,5"]


def test_trim_leaves_a_whole_history_as_it_is(folder: RunFolder) -> None:
    written = f"{HEADER}0,5,5\n".replace("\n", "\r\n").encode()  # As CSVLogger writes it.
    folder.history_file.write_bytes(written)
    folder.trim_history(1)
    assert folder.history_file.read_bytes() == written


def test_trim_to_nothing_removes_the_file(folder: RunFolder) -> None:
    folder.history_file.write_text(f"{HEADER}0,5,5\n")
    folder.trim_history(0)
    assert not folder.history_file.exists()
    folder.trim_history(0)


def test_contents_are_listed(folder: RunFolder) -> None:
    folder.history_file.write_text(HEADER)
    assert folder.contents() == f"{folder.path}/ has checkpoints/, config.json and history.csv"


def test_text_bytes_and_figures_are_saved(folder: RunFolder) -> None:
    folder.save("a.txt", "é\n")
    folder.save("b.bin", b"\xff")
    folder.save("c.png", Figure())
    assert (folder.path / "a.txt").read_bytes() == "é\n".encode()
    assert (folder.path / "b.bin").read_bytes() == b"\xff"
    assert (folder.path / "c.png").read_bytes().startswith(b"\x89PNG")


def test_file_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    target.write_bytes(b"before")
    write_atomically(target, b"after")
    assert target.read_bytes() == b"after"
    assert list(tmp_path.iterdir()) == [target]


def test_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Path, target: Path) -> None:
        raise OSError("disk full")

    target = tmp_path / "a.json"
    target.write_bytes(b"before")
    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(target, b"after")
    assert target.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [target]


def test_waits_for_a_file_that_another_task_writes(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    waiting = threading.Thread(target=wait_for, args=(file,))
    waiting.start()
    assert waiting.is_alive()
    file.touch()
    waiting.join(30)
    assert not waiting.is_alive()


def test_a_file_that_does_not_come_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Waited 0 s for .*a\.txt, which the chief writes"):
        wait_for(tmp_path / "a.txt", timeout_s=0)
