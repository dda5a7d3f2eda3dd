"""models/bert_classifier.py: what is refused before TensorFlow, how a run resumes, the model."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import keras_nlp
import numpy as np
import pytest

from models import bert_classifier
from models.bert_classifier import Settings
from models.lib.bert import SPECIAL_PIECES, check_preset
from models.lib.inputs import InputError
from models.lib.labelled_texts import labelled_texts
from models.lib.run_folder import RunFolder
from tests.unit.models.guard import run_guarded

TEXTS = "label,text\n" + "".join(f"{'ab'[n % 2]},some text {n}\n" for n in range(100))


@pytest.mark.parametrize("task", [None, "chief"])
def test_bad_file_ends_with_2_before_tensorflow(tmp_path: Path, task: str | None) -> None:
    (tmp_path / "a.csv").write_text(f"{TEXTS}a,\n")
    done = run_guarded("bert_classifier", tmp_path, "--data", "a.csv", task=task)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "bert_classifier: a.csv: line 102: 'text' is empty. Give a text, or remove the line.\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_a_worker_leaves_a_bad_file_to_the_chief(tmp_path: Path) -> None:
    done = run_guarded("bert_classifier", tmp_path, "--data", "nothing.csv", task="worker")
    assert done.returncode == 1
    assert done.stderr.strip() == "imported tensorflow_text"


def test_unknown_label_in_test_data_ends_with_2(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(TEXTS)
    (tmp_path / "b.tsv").write_text("label\ttext\nc\tother\n")
    done = run_guarded("bert_classifier", tmp_path, "--data", "a.csv", "--test-data", "b.tsv")
    assert done.returncode == 2
    assert "b.tsv: line 2: label 'c' is not one of the training data's 2: 'a', 'b'." in done.stderr


def test_missing_column_and_bad_preset_end_with_2(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(TEXTS)
    done = run_guarded("bert_classifier", tmp_path, "--data", "a.csv", "--text-column", "body")
    assert done.returncode == 2
    assert "a.csv: line 1: no column 'body'; there are 'label', 'text'." in done.stderr
    done = run_guarded("bert_classifier", tmp_path, "--data", "a.csv", "--preset", "nothing")
    assert done.returncode == 2
    assert "--preset nothing: config.json cannot be read" in done.stderr


def test_check_only_makes_nothing(tmp_path: Path) -> None:
    done = run_guarded("bert_classifier", tmp_path, "--check-only")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not list(tmp_path.iterdir())


def test_all_bad_settings_are_reported() -> None:
    settings = Settings(heads=3, lora_rank=-1, sequence_length=1, test_data=Path("b.csv"))
    assert settings.faults() == [
        "--lora-rank is -1, but must be at least 0.",
        "--sequence-length is 1, but must be at least 8.",
        "--width is 128, but must be a multiple of --heads, 3.",
        "--test-data needs --data, the file to train on.",
    ]


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A run that was started, by settings that `prepare` accepted."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text(TEXTS)
    settings = Settings(data=Path("a.csv"), name="mine", compare=False)
    bert_classifier.prepare(settings)
    return settings


def test_preparing_claims_the_run_folder(prepared: Settings) -> None:
    folder = RunFolder(Path("runs/mine"))
    config = json.loads(folder.config_file.read_text())
    assert config["identity"]["width"] == prepared.width
    assert config["settings"]["data"] == "a.csv"
    assert set(config["versions"]) == {"keras", "keras-nlp", "tensorflow", "tensorflow-text"}
    assert json.loads((folder.path / "classes.json").read_text()) == ["a", "b"]


@pytest.mark.parametrize("changes", [{"sequence_length": 32}, {"lora_rank": 2}, {"layers": 1}])
def test_run_may_not_resume_with(prepared: Settings, changes: dict[str, int]) -> None:
    with pytest.raises(InputError, match="holds a run with other settings"):
        bert_classifier.prepare(dataclasses.replace(prepared, **changes))


def test_run_may_resume_from_the_same_texts_elsewhere(prepared: Settings) -> None:
    Path("b.tsv").write_text(TEXTS.replace(",", "\t").replace("text\n", "body\n", 1))
    moved = dataclasses.replace(prepared, data=Path("b.tsv"), text_column=("body",), epochs=9)
    assert bert_classifier.prepare(moved).func is bert_classifier.train


def finish(settings: Settings) -> RunFolder:
    folder = RunFolder(Path("runs") / settings.name)
    folder.backup_folder.mkdir(parents=True)
    metadata = json.dumps({"epoch": settings.epochs})
    (folder.backup_folder / "training_metadata.json").write_text(metadata)
    folder.result_file.write_text("held-out accuracy 0.9\n")
    return folder


def test_finished_run_prints_its_result(
    prepared: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    finish(prepared)
    bert_classifier.prepare(prepared)()
    output = capsys.readouterr().out
    assert "runs/mine is finished: 4 epochs.\nheld-out accuracy 0.9\nruns/mine/ has " in output


def test_finished_run_can_be_compared_afterwards(
    prepared: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = finish(prepared)
    compared = dataclasses.replace(prepared, compare=True)
    assert bert_classifier.prepare(compared).func is bert_classifier.train
    (folder.path / bert_classifier.COMPARISON).write_text("plain Keras accuracy 0.8\n")
    bert_classifier.prepare(compared)()
    assert "accuracy 0.9\nplain Keras accuracy 0.8\nruns/mine/ has " in capsys.readouterr().out


DATA = labelled_texts("words", [("one", "a"), ("two", "b"), ("six", "c")], [("one", "a")])
PIECES = [*SPECIAL_PIECES, "one", "two", "six"]
SETTINGS = Settings(width=8, heads=2, layers=1, sequence_length=8, batch_size=1)


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the preset of a run."""
    folder = tmp_path_factory.mktemp("preset")
    bert_classifier.make_model(SETTINGS, DATA, PIECES).save_to_preset(str(folder))
    return folder


def test_model_has_a_logit_for_each_class_and_takes_raw_text() -> None:
    model = bert_classifier.make_model(SETTINGS, DATA, PIECES)
    logits = model.predict(np.array(["One two", "six"], dtype=object), verbose=0)
    assert logits.shape == (2, 3)
    token_ids = model.preprocessor(["ONE six"])["token_ids"]
    np.testing.assert_array_equal(token_ids, [[2, 5, 7, 3, 0, 0, 0, 0]])


def test_models_begin_with_the_same_weights() -> None:
    weights = [bert_classifier.make_model(SETTINGS, DATA, PIECES).get_weights() for _ in range(2)]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_preset_gives_backbone_and_pieces_and_the_data_the_head(
    preset: Path, tmp_path: Path
) -> None:
    check_preset(preset, 8)
    settings = dataclasses.replace(SETTINGS, preset=preset, width=999)
    two = labelled_texts("words", [("one", "x"), ("two", "y")], [("one", "x")])
    pieces = bert_classifier.load_pieces(settings, two, tmp_path / "vocabulary.txt")
    assert pieces == PIECES
    assert (tmp_path / "vocabulary.txt").read_text().split() == PIECES
    model = bert_classifier.make_model(settings, two, pieces)
    assert model.num_classes == 2
    assert model.preprocessor.sequence_length == 8
    expected = keras_nlp.models.BertBackbone.from_preset(str(preset)).get_weights()
    for weight, value in zip(model.backbone.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_lora_trains_little_more_than_the_head(preset: Path) -> None:
    settings = dataclasses.replace(SETTINGS, preset=preset, lora_rank=2)
    model = bert_classifier.make_model(settings, DATA, PIECES)
    names = {variable.path.split("/")[-1] for variable in model.backbone.trainable_variables}
    assert names >= {"lora_kernel_a", "lora_kernel_b"}
    assert "embeddings" not in names
    whole = bert_classifier.make_model(SETTINGS, DATA, PIECES)
    assert len(model.trainable_variables) < 0.5 * len(whole.trainable_variables)


def test_vocabulary_of_a_run_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "vocabulary.txt"
    file.write_text("a\nb\n")
    assert bert_classifier.load_pieces(SETTINGS, DATA, file) == ["a", "b"]
