"""Train a BERT text classifier on labelled texts, on a parameter server cluster.

As a cluster of real processes on one machine, or (without `tfps local`) inside one process:

    tfps local --ps 2 --workers 2 -- python -m models.bert_classifier \\
        --data news.csv --text-column title body --label-column topic

The chief reads the files and sends each worker its share of the texts, which the worker tokenizes.
The same command again resumes after the last epoch. A run writes to runs/NAME the files that
`RunFolder` lists, vocabulary.txt, classes.json, confusion.png, comparison.txt, and preset/, which
--preset and keras-nlp's `BertTextClassifier.from_preset` can load.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import tyro

import tfps
from models.lib import bert, recipe
from models.lib.labelled_texts import LabelledTexts, package_passages, read_files
from models.lib.run_folder import RunFolder, wait_for
from models.lib.settings import TransformerSettings

if TYPE_CHECKING:
    import keras
    import keras_nlp

COMPARISON, VOCABULARY = "comparison.txt", "vocabulary.txt"
CLIP_NORM = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(TransformerSettings):
    """Train a BERT text classifier on labelled texts. Started again, a run resumes."""

    LEAST: ClassVar = {
        **TransformerSettings.LEAST, "lora_rank": 0, "sequence_length": 8, "vocabulary_size": 300,
    }  # fmt: skip
    MAY_CHANGE: ClassVar = TransformerSettings.MAY_CHANGE | {
        "columns", "compare", "label_column", "preset", "test_data", "text_column",
    }  # fmt: skip

    data: Path | None = None
    """CSV, TSV or JSONL file to train on; without it, passages of eight packages of Python's
    standard library, to be told apart."""
    test_data: Path | None = None
    """File to test on; without it, a tenth of the training texts is held out."""
    text_column: tuple[str, ...] = ("text",)
    """Column of the text; several are joined by a space."""
    label_column: str = "label"
    """Column of the label."""
    columns: tuple[str, ...] = ()
    """Names of all columns, for CSV and TSV files without a header line."""
    preset: Path | None = None
    """Folder of a keras-nlp preset of BERT to start from (runs/NAME/preset is one); without it,
    training is from scratch. Large presets need a learning rate like 5e-5, with LoRA like 5e-4."""
    lora_rank: int = 0
    """Rank of LoRA, which freezes all of the preset but the head; 0 trains everything."""
    compare: bool = True
    """Train the same model by plain Keras too, in one process and on as many examples; this takes
    about as long again (--no-compare)."""
    name: str = "bert_classifier"
    """Name of the run: its results go to runs/NAME."""
    epochs: int = 4
    """Rounds over the training texts; after each, the model is validated and saved."""
    batch_size: int = 32
    """Texts in a step."""
    sequence_length: int = 64
    """Tokens in a text; longer texts are truncated."""
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
    seed: int = 0
    """Seed of the initial weights and the order of the texts."""

    def faults(self) -> list[str]:
        """Say what is wrong with the values, a sentence for each fault."""
        faults = super().faults()
        if self.test_data and not self.data:
            faults.append("--test-data needs --data, the file to train on.")
        return faults

    def steps_per_epoch(self, data: LabelledTexts) -> int:
        """Return the number of steps that visit each text about once."""
        return max(1, len(data.train) // self.batch_size)


def main() -> None:
    """Train on the chief, serve on a worker or ps, evaluate on an evaluator."""
    text_ops = functools.partial(importlib.import_module, "tensorflow_text")
    recipe.run("bert_classifier", tyro.cli(Settings), prepare, evaluate, before_serving=text_ops)


def prepare(settings: Settings) -> Callable[[], None]:
    """Check data and preset, and return the function that starts or resumes the training."""
    data = read(settings)
    digests = {}
    if settings.preset:
        digests["preset"] = bert.check_preset(settings.preset, settings.sequence_length)
    recipe.introduce(settings, data)
    if settings.lora_rank and not settings.preset:
        print("--lora-rank without --preset: the weights that it freezes are random.", flush=True)
    folder = recipe.claim(settings, data, ("keras-nlp", "tensorflow-text"), **digests)
    folder.save("classes.json", json.dumps(data.classes))
    return recipe.train_or_report(
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
    """Return an evaluator that scores each epoch, beside the training."""
    data = read(settings)
    vocabulary_file = recipe.run_folder(settings).path / VOCABULARY
    wait_for(vocabulary_file)
    model = make_model(settings, data, load_pieces(settings, data, vocabulary_file))
    held_out = bert.held_out_batches(data.held_out, batch_size=settings.batch_size)
    return recipe.side_car(settings, model, held_out)


def train(settings: Settings, data: LabelledTexts, folder: RunFolder) -> None:
    """Train on the cluster, save report and preset, and compare with plain Keras."""
    from models.lib import classification
    from models.lib.training import make_callbacks

    (folder.path / COMPARISON).unlink(missing_ok=True)
    # Before anything else: functions traced before the cluster starts cause noise when freed.
    strategy = tfps.ParameterServerStrategy(**settings.strategy_arguments())
    pieces = load_pieces(settings, data, folder.path / VOCABULARY)
    new_model = functools.partial(make_model, settings, data, pieces)
    with strategy.scope():
        model = new_model()  # Its weights lie on the ps; those of later models in this process.
    print(f"{len(pieces)} pieces, {model.count_params():,} parameters", flush=True)
    batch_size, steps_per_epoch = settings.batch_size, settings.steps_per_epoch(data)
    seed = settings.seed + folder.completed_epochs()  # A resumed run has another order.
    model.fit(
        bert.training_batches(data.train, batch_size=batch_size, seed=seed),
        epochs=settings.epochs,
        steps_per_epoch=steps_per_epoch,
        validation_data=bert.held_out_batches(data.held_out, batch_size=batch_size),
        callbacks=make_callbacks(
            settings,
            folder,
            classification.yardstick(data),
            steps_per_epoch=steps_per_epoch,
            examples_per_step=batch_size,
        ),
        verbose=0,
    )
    report = classification.measure(model, data, batch_size=batch_size)
    folder.save("confusion.png", report.draw())
    classification.save_preset(model, new_model(), folder.path / "preset")
    trivial = f"most frequent class: accuracy {data.most_frequent_accuracy:.3f}"
    recipe.finish(folder, f"held-out {report.headline} ({trivial})\n{report.table}")
    if settings.compare:
        comparison = classification.compare_with_plain_keras(
            new_model(),
            report,
            data,
            epochs=settings.epochs,
            steps_per_epoch=steps_per_epoch,
            batch_size=batch_size,
            seed=settings.seed,
        )
        print(comparison, end="", flush=True)
        folder.save(COMPARISON, comparison)


def load_pieces(settings: Settings, data: LabelledTexts, file: Path) -> list[str]:
    """Return the run's WordPiece vocabulary: from its file, else the preset, else learned.

    Args:
        settings: Settings of the run.
        data: The pieces are learned from its training texts.
        file: File of the run's vocabulary; the weights in its checkpoints depend on it.
    """
    if file.exists():
        return bert.read_pieces(file)
    if settings.preset:
        import keras_nlp

        pieces = keras_nlp.models.BertTokenizer.from_preset(str(settings.preset)).get_vocabulary()
    else:
        size = settings.vocabulary_size
        pieces = bert.load_or_learn(data.train.texts, size, recipe.RUNS / ".vocabularies")
    bert.write_pieces(file, pieces)
    return pieces


def make_model(
    settings: Settings,
    data: LabelledTexts,
    pieces: list[str],
    optimizer: keras.optimizers.Optimizer | None = None,
) -> keras_nlp.models.BertTextClassifier:
    """Return an untrained model, with the same initial weights at each call.

    Under a strategy's scope its variables lie on the ps.

    Args:
        settings: Settings of the run.
        data: The model has its classes.
        pieces: The WordPiece vocabulary; a preset has its own.
        optimizer: The optimizer; None for Adam for late gradients.
    """
    import keras
    import keras_nlp

    from models.lib.training import adam

    keras.utils.set_random_seed(settings.seed)
    if settings.preset:
        model = keras_nlp.models.BertTextClassifier.from_preset(
            str(settings.preset), num_classes=len(data.classes), dtype=settings.dtype
        )
        model.preprocessor.sequence_length = settings.sequence_length
    else:
        model = _from_scratch(settings, len(data.classes), pieces)
    if settings.lora_rank:
        model.backbone.enable_lora(settings.lora_rank)
    steps = settings.epochs * settings.steps_per_epoch(data)
    model.compile(
        optimizer=optimizer or adam(settings.learning_rate, steps, global_clipnorm=CLIP_NORM),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        steps_per_execution=settings.steps_per_execution,
    )
    return model


def _from_scratch(
    settings: Settings, num_classes: int, pieces: list[str]
) -> keras_nlp.models.BertTextClassifier:
    import keras_nlp

    tokenizer = keras_nlp.models.BertTokenizer(vocabulary=pieces, lowercase=True)
    backbone = keras_nlp.models.BertBackbone(
        vocabulary_size=len(pieces),
        num_layers=settings.layers,
        num_heads=settings.heads,
        hidden_dim=settings.width,
        intermediate_dim=4 * settings.width,
        max_sequence_length=settings.sequence_length,
        dtype=settings.dtype,
    )
    preprocessor = keras_nlp.models.BertTextClassifierPreprocessor(
        tokenizer, sequence_length=settings.sequence_length
    )
    return keras_nlp.models.BertTextClassifier(
        backbone, num_classes=num_classes, preprocessor=preprocessor
    )


def summary(folder: RunFolder) -> str:
    """Return the run's results, and a list of its files."""
    files = [folder.result_file, folder.path / COMPARISON]
    return "".join(file.read_text() for file in files if file.exists()) + folder.contents()


if __name__ == "__main__":
    main()
