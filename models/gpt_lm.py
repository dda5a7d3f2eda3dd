"""Train a GPT-style language model from scratch on text, on a parameter server cluster.

As a cluster of real processes on one machine, or (without `tfps local`) inside one process:

    tfps local --ps 2 --workers 2 -- python -m models.gpt_lm --data 'texts/*.txt'

Started again, the same command resumes after the last epoch. Text files must lie under the same
paths on all machines that have a worker. What a run leaves, in runs/NAME, is listed in `RunFolder`.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

import tfps
from models.corpus import Corpus, standard_library, text_files
from models.errors import InputError
from models.files import write_atomically
from models.run_folder import RunFolder
from models.settings import Settings
from models.vocabulary import PAD_ID, Vocabulary, load_or_train

if TYPE_CHECKING:
    import keras
    import keras_nlp

RUNS = Path("runs")


def main() -> None:
    """Check on the chief what the user gave, then train there and serve on the other tasks."""
    settings = tyro.cli(Settings)
    config = tfps.TFConfig.from_environment()
    if config is None or config.task.type == "chief":
        tfps.run(prepare(settings))
        return
    import tensorflow_text  # noqa: F401  # Text is tokenized here, by ops that this brings.

    tfps.run(lambda: None)


def prepare(settings: Settings) -> Callable[[], None]:
    """Check settings, text and run folder, and make the vocabulary, before TensorFlow is imported.

    Returns:
        What is left to do. A fault of what the user gave ends the process with code 2.
    """
    folder = RunFolder(RUNS / settings.name)
    try:
        settings.check()
        corpus = text_files(settings.data) if settings.data else standard_library()
        if settings.check_only:
            sys.exit(0)
        print(corpus, flush=True)
        vocabulary = load_or_train(corpus, settings.vocabulary_size, RUNS / ".vocabularies")
        folder.claim(settings.identity(corpus, vocabulary), describe(settings, corpus))
        write_atomically(folder.vocabulary_file, vocabulary.model)
        done = folder.completed_epochs()
    except InputError as error:
        print(f"gpt_lm: {error}", file=sys.stderr)
        sys.exit(2)
    if done >= settings.epochs and folder.sample_file.exists():
        return functools.partial(print, finished(folder, done), flush=True)
    if done:
        print(f"{folder.path}: resuming after epoch {done} of {settings.epochs}.", flush=True)
    return functools.partial(train, settings, corpus, vocabulary, folder)


def train(settings: Settings, corpus: Corpus, vocabulary: Vocabulary, folder: RunFolder) -> None:
    """Train on the cluster, and leave the results in the run's folder."""
    import keras

    from models.blocks import Blocks

    done = folder.completed_epochs()
    folder.trim_history(done)
    folder.sample_file.unlink(missing_ok=True)
    keras.utils.set_random_seed(settings.seed)
    strategy = tfps.ParameterServerStrategy()
    with strategy.scope():
        model = make_model(settings, vocabulary.size)
        compile_to_train(model, settings)
    print(f"{vocabulary.size} pieces, {model.count_params():,} parameters", flush=True)
    blocks = Blocks(vocabulary.model, settings.sequence_length, settings.batch_size)
    model.fit(
        blocks.training(corpus.train, seed=settings.seed + done),
        epochs=settings.epochs,
        steps_per_epoch=settings.steps_per_epoch,
        validation_data=blocks.held_out(corpus.held_out),
        callbacks=make_callbacks(settings, corpus, vocabulary, folder),
        verbose=0,
    )
    leave_sample(model, settings, corpus, vocabulary, folder)
    print(summary(folder), flush=True)


def make_model(settings: Settings, vocabulary_size: int) -> keras_nlp.models.GPT2CausalLM:
    """Make an untrained model; under a strategy's scope its variables lie on the ps."""
    import keras_nlp

    backbone = keras_nlp.models.GPT2Backbone(
        vocabulary_size=vocabulary_size,
        num_layers=settings.layers,
        num_heads=settings.heads,
        hidden_dim=settings.width,
        intermediate_dim=4 * settings.width,
        dropout=0.0,  # In a run this short no text comes often enough to be learned by heart.
        max_sequence_length=settings.sequence_length,
        dtype=settings.dtype,
    )
    return keras_nlp.models.GPT2CausalLM(backbone, preprocessor=None)


def compile_to_train(model: keras_nlp.models.GPT2CausalLM, settings: Settings) -> None:
    """Give a model what it needs for `fit`."""
    import keras
    import keras_nlp

    steps = settings.epochs * settings.steps_per_epoch
    warmup_steps = min(100, steps // 10)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        warmup_target=settings.learning_rate,
        warmup_steps=warmup_steps,
        decay_steps=steps - warmup_steps,
        alpha=0.1,
    )
    model.compile(
        # A gradient comes a step late for each other worker, and late gradients with a long memory
        # make Adam swing: with its defaults, two workers learn half as fast as one.
        optimizer=keras.optimizers.Adam(schedule, beta_1=0.5, beta_2=0.95, global_clipnorm=0.25),
        loss=keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="mean_with_sample_weight"
        ),
        weighted_metrics=[keras_nlp.metrics.Perplexity(from_logits=True, mask_token_id=PAD_ID)],
        steps_per_execution=settings.steps_per_execution,
    )


def make_callbacks(
    settings: Settings, corpus: Corpus, vocabulary: Vocabulary, folder: RunFolder
) -> list[keras.callbacks.Callback]:
    """Make what watches and saves, in the order in which an epoch's end needs them."""
    import keras

    from models import report
    from models.progress import Progress

    held_out_losses = [row["val_loss"] for row in folder.history()]
    return [
        Progress(
            epochs=settings.epochs,
            steps_per_epoch=settings.steps_per_epoch,
            examples_per_step=settings.batch_size,
        ),
        report.Unigram(vocabulary.unigram_perplexity(corpus.held_out), epochs=settings.epochs),
        keras.callbacks.CSVLogger(folder.history_file, append=True),
        keras.callbacks.TensorBoard(folder.tensorboard_folder, write_graph=False),
        report.LossCurve(folder),
        keras.callbacks.ModelCheckpoint(
            folder.best_file,
            save_best_only=True,
            save_weights_only=True,
            initial_value_threshold=min(held_out_losses, default=None),
        ),
        # Last: an epoch that it has saved is not trained again, so all the rest must be done.
        keras.callbacks.BackupAndRestore(
            folder.backup_folder, double_checkpoint=True, delete_checkpoint=False
        ),
    ]


def leave_sample(
    model: keras_nlp.models.GPT2CausalLM,
    settings: Settings,
    corpus: Corpus,
    vocabulary: Vocabulary,
    folder: RunFolder,
) -> None:
    """Let the trained model continue two held-out passages, and keep what it writes."""
    from models import sample

    # Outside the scope: a copy in this process, as each token needs all the weights.
    copy = make_model(settings, vocabulary.size)
    copy.set_weights(model.get_weights())
    text = sample.continue_prompts(
        copy,
        vocabulary.processor(),
        sample.longest(corpus.held_out, 2),
        sequence_length=settings.sequence_length,
        seed=settings.seed,
    )
    write_atomically(folder.sample_file, text.encode())


def describe(settings: Settings, corpus: Corpus) -> dict[str, object]:
    """Return what a reader of config.json wants to know beside the run's identity."""
    versions = {
        package: importlib.metadata.version(package)
        for package in ("keras", "keras-nlp", "sentencepiece", "tensorflow", "tensorflow-text")
    }
    return {
        "settings": dataclasses.asdict(settings),
        "corpus": str(corpus),
        "python": sys.version.split()[0],
        "versions": versions,
    }


def summary(folder: RunFolder) -> str:
    """Say what the run has reached, and where its results are."""
    last = folder.history()[-1]
    return (
        f"held-out perplexity {last['val_perplexity']:.1f} after {last['epoch'] + 1:.0f} epochs; "
        f"the unigram distribution has {last['unigram_perplexity']:.1f}\n"
        f"{folder.path}/ has checkpoints/, config.json, history.csv, loss.png, sample.txt, "
        "tensorboard/ and vocabulary.model"
    )


def finished(folder: RunFolder, done: int) -> str:
    """Say that a run is finished, and what to do for more."""
    return (
        f"{folder.path} is finished: {done} epochs.\n{summary(folder)}\n"
        f"To go on, give more --epochs than {done}; for a new run, give another --name or remove "
        f"{folder.path}."
    )


if __name__ == "__main__":
    main()
