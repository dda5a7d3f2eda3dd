"""Train a BERT text classifier on labelled texts, on a parameter server cluster.

As a cluster of real processes on one machine, or (without `tfps local`) inside one process:

    tfps local --ps 2 --workers 2 -- python -m models.bert_classifier \\
        --data news.csv --text-column title body --label-column topic

The chief reads the files and sends each worker its share of the texts, which are tokenized there.
Started again, the same command resumes after the last epoch. In runs/NAME lies, beside what is
listed in `RunFolder`: vocabulary.txt, classes.json, confusion.png, comparison.txt, and preset/, to
be given to --preset or to keras-nlp's `BertTextClassifier.from_preset`.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Literal

import tyro

import tfps
from models import recipe
from models.files import wait_for, write_atomically
from models.labelled_texts import LabelledTexts, read_files
from models.preset import check_preset
from models.run_folder import RunFolder
from models.settings import RunSettings
from models.stdlib_passages import package_passages
from models.update import policy
from models.wire import wire

COMPARISON, VOCABULARY = "comparison.txt", "vocabulary.txt"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(RunSettings):
    """Train a BERT text classifier on labelled texts. Started again, a run resumes."""

    LEAST: ClassVar = {
        **RunSettings.LEAST, "lora_rank": 0, "sequence_length": 8, "vocabulary_size": 300,
    }  # fmt: skip
    MAY_CHANGE: ClassVar = RunSettings.MAY_CHANGE | {
        "columns", "compare", "label_column", "preset", "test_data", "text_column",
    }  # fmt: skip

    data: Path | None = None
    """CSV, TSV or JSONL file to train on; without it, passages of eight packages of Python's
    standard library, to be told apart."""
    test_data: Path | None = None
    """File to test on; without it, a tenth of the texts is held out."""
    text_column: tuple[str, ...] = ("text",)
    """Column of the text; several are joined by a space."""
    label_column: str = "label"
    """Column of the label."""
    columns: tuple[str, ...] = ()
    """Names of all columns, for CSV and TSV files without a header line."""
    preset: Path | None = None
    """Folder of a keras-nlp preset of BERT to start from (runs/NAME/preset is one); without it,
    training is from scratch. Large ones want a learning rate like 5e-5, with LoRA like 5e-4."""
    lora_rank: int = 0
    """Rank of LoRA, which freezes all of the preset but the head; 0 trains everything."""
    compare: bool = True
    """Train the same model by plain Keras too, in one process and on as many examples; that takes
    about as long again (--no-compare)."""
    name: str = "bert_classifier"
    """Name of the run: its results go to runs/NAME."""
    epochs: int = 4
    """Rounds over the training texts; after each, the model is validated and saved."""
    batch_size: int = 32
    """Texts in a step."""
    sequence_length: int = 64
    """Tokens in a text; what a longer one has more is cut off."""
    vocabulary_size: int = 4000
    """WordPiece pieces at most; from scratch."""
    layers: int = 2
    """Transformer layers; from scratch."""
    heads: int = 4
    """Attention heads, which divide the width; from scratch."""
    width: int = 128
    """Size of a token's vector; from scratch."""
    learning_rate: float = 1e-3
    """Adam's highest learning rate, between a linear warm-up and a cosine decay."""
    dtype: Literal["float32", "mixed_bfloat16"] = "float32"
    """What layers compute in; variables are float32."""
    seed: int = 0
    """Seed of the initial weights and the order of the texts."""

    def faults(self) -> list[str]:
        """Say what is wrong with the values, a sentence for each fault."""
        faults = super().faults()
        if self.heads > 0 and self.width % self.heads:
            faults.append(
                f"--width is {self.width}, but must be a multiple of --heads, {self.heads}."
            )
        if self.test_data and not self.data:
            faults.append("--test-data needs --data, the file to train on.")
        return faults

    def steps_per_epoch(self, data: LabelledTexts) -> int:
        """Return how many steps see about each text once."""
        return max(1, len(data.train) // self.batch_size)


def main() -> None:
    """Check on the chief what the user gave, then train there; evaluate or serve on other tasks."""
    text_ops = functools.partial(importlib.import_module, "tensorflow_text")
    recipe.run("bert_classifier", tyro.cli(Settings), prepare, evaluate, before_serving=text_ops)


def prepare(settings: Settings) -> Callable[[], None]:
    """Check files, preset and run folder, before TensorFlow is imported."""
    data = read(settings)
    digests = {}
    if settings.preset:
        digests["preset"] = check_preset(settings.preset, settings.sequence_length)
    recipe.introduce(settings, data)
    if settings.lora_rank and not settings.preset:
        print("--lora-rank without --preset: the weights that it freezes are random.", flush=True)
    folder = recipe.claim(settings, data, ("keras-nlp", "tensorflow-text"), **digests)
    write_atomically(folder.path / "classes.json", json.dumps(data.classes).encode())
    return recipe.left_to_do(
        settings,
        folder,
        functools.partial(train, settings, data, folder),
        last_file=folder.path / COMPARISON if settings.compare else folder.result_file,
        summary=summary,
    )


def read(settings: Settings) -> LabelledTexts:
    """Read the files that the settings name, or else the standard library."""
    if settings.data is None:
        return package_passages()
    return read_files(
        settings.data,
        settings.test_data,
        text_columns=settings.text_column,
        label_column=settings.label_column,
        header=settings.columns,
    )


def evaluate(settings: Settings) -> tfps.SidecarEvaluator:
    """Return what evaluates each epoch, beside the training."""
    from models import bert_task, text_batches

    data = read(settings)
    vocabulary_file = recipe.run_folder(settings).path / VOCABULARY
    wait_for(vocabulary_file)
    pieces = bert_task.load_pieces(settings, data, vocabulary_file)
    held_out = text_batches.held_out(data.held_out, batch_size=settings.batch_size)
    return recipe.side_car(settings, bert_task.make_model(settings, data, pieces), held_out)


def train(settings: Settings, data: LabelledTexts, folder: RunFolder) -> None:
    """Train on the cluster, and leave the results in the run's folder."""
    from models import bert_task, text_batches
    from models import classifier_results as results
    from models.callbacks import make_callbacks

    (folder.path / COMPARISON).unlink(missing_ok=True)
    # Comes first: functions traced before the cluster is there cause noise when they are freed.
    strategy = tfps.ParameterServerStrategy(**wire(settings), update=policy(settings.update))
    pieces = bert_task.load_pieces(settings, data, folder.path / VOCABULARY)
    make_model = functools.partial(bert_task.make_model, settings, data, pieces)
    with strategy.scope():
        model = make_model()  # Its weights lie on the ps; those made below, in this process.
    print(f"{len(pieces)} pieces, {model.count_params():,} parameters", flush=True)
    batch_size, steps_per_epoch = settings.batch_size, settings.steps_per_epoch(data)
    seed = settings.seed + folder.completed_epochs()  # Another order after a resume.
    model.fit(
        text_batches.training(data.train, batch_size=batch_size, seed=seed),
        epochs=settings.epochs,
        steps_per_epoch=steps_per_epoch,
        validation_data=text_batches.held_out(data.held_out, batch_size=batch_size),
        callbacks=make_callbacks(
            settings,
            folder,
            results.yardstick(data),
            steps_per_epoch=steps_per_epoch,
            examples_per_step=batch_size,
        ),
        verbose=0,
    )
    report = results.measure(model, data, settings)
    write_atomically(folder.path / "confusion.png", report.draw())
    results.leave_preset(model, make_model(), folder.path / "preset")
    trivial = f"most frequent class: accuracy {data.most_frequent_accuracy:.3f}"
    recipe.finish(folder, f"held-out {report.headline} ({trivial})\n{report.table}")
    if settings.compare:
        comparison_file = folder.path / COMPARISON
        results.leave_comparison(make_model(), report, data, settings, comparison_file)


def summary(folder: RunFolder) -> str:
    """Say what the run has reached, and where its results are."""
    files = [folder.result_file, folder.path / COMPARISON]
    return "".join(file.read_text() for file in files if file.exists()) + folder.contents()


if __name__ == "__main__":
    main()
