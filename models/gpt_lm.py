"""Train a GPT-style language model from scratch on text, on a parameter server cluster.

As a cluster of real processes on one machine, or (without `tfps local`) inside one process:

    tfps local --ps 2 --workers 2 -- python -m models.gpt_lm --data 'texts/*.txt'

The same command again resumes after the last epoch. Text files must have the same paths on all
machines that have a worker. `RunFolder` lists the files that a run writes to runs/NAME.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

import tyro

import tfps
from models.lib import recipe
from models.lib.corpus import Corpus, standard_library, text_files
from models.lib.run_folder import RunFolder, wait_for
from models.lib.settings import TransformerSettings
from models.lib.vocabulary import PAD_ID, Vocabulary, load_or_train

if TYPE_CHECKING:
    import keras
    import keras_nlp

VOCABULARY, SAMPLE = "vocabulary.model", "sample.txt"
CLIP_NORM = 0.25


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(TransformerSettings):
    """Train a GPT-style language model from scratch on text. Started again, a run resumes."""

    LEAST: ClassVar = {**TransformerSettings.LEAST, "sequence_length": 8, "vocabulary_size": 512}

    data: str | None = None
    """Glob pattern of UTF-8 text files, quoted ('texts/**/*.txt'); without it, the source of
    Python's standard library."""
    name: str = "gpt_lm"
    """Name of the run: its results go to runs/NAME."""
    epochs: int = 4
    """Epochs of steps-per-epoch steps; after each, the model is validated and saved."""
    steps_per_epoch: int = 300
    """Steps in an epoch, those of all workers together."""
    batch_size: int = 16
    """Examples in a step."""
    sequence_length: int = 128
    """Tokens in an example."""
    vocabulary_size: int = 4096
    """SentencePiece pieces at most; text with few different words has fewer."""
    layers: int = 3
    """Transformer layers."""
    heads: int = 4
    """Attention heads; they divide the width."""
    width: int = 128
    """Size of a token's vector."""
    learning_rate: float = 7e-4
    """Adam's highest learning rate, between a linear warm-up and a cosine decay."""
    seed: int = 0
    """Seed of the initial weights, the order of the text, and the sample."""


def main() -> None:
    """Train on the chief, serve on a worker or ps, evaluate on an evaluator."""
    recipe.run("gpt_lm", tyro.cli(Settings), prepare, evaluate, before_serving=_load_text_ops)


def prepare(settings: Settings) -> Callable[[], None]:
    """Read the text, make the vocabulary, and return the function that trains."""
    corpus = read(settings)
    recipe.introduce(settings, corpus)
    vocabulary = load_or_train(corpus, settings.vocabulary_size, recipe.RUNS / ".vocabularies")
    packages = ("keras-nlp", "sentencepiece", "tensorflow-text")
    folder = recipe.claim(settings, corpus, packages, vocabulary=vocabulary.digest)
    folder.save(VOCABULARY, vocabulary.model)
    return recipe.train_or_report(
        settings,
        folder,
        functools.partial(train, settings, corpus, vocabulary, folder),
        last_file=folder.path / SAMPLE,
        summary=summary,
    )


def read(settings: Settings) -> Corpus:
    """Read the texts that the settings name, or else the standard library."""
    return text_files(settings.data) if settings.data else standard_library()


def evaluate(settings: Settings) -> tfps.SidecarEvaluator:
    """Return an evaluator that scores each epoch, beside the training."""
    import sentencepiece

    from models.lib.gpt import Blocks

    corpus = read(settings)
    vocabulary_file = recipe.run_folder(settings).path / VOCABULARY
    wait_for(vocabulary_file)
    pieces = vocabulary_file.read_bytes()
    size = sentencepiece.SentencePieceProcessor(model_proto=pieces).get_piece_size()
    model = make_model(settings, size)
    compile_to_train(model, settings)
    blocks = Blocks(pieces, settings.sequence_length, settings.batch_size)
    return recipe.side_car(settings, model, blocks.held_out(corpus.held_out))


def train(settings: Settings, corpus: Corpus, vocabulary: Vocabulary, folder: RunFolder) -> None:
    """Train on the cluster, and let the model write a sample of text."""
    import keras

    from models.lib.gpt import Blocks
    from models.lib.training import Yardstick, make_callbacks

    keras.utils.set_random_seed(settings.seed)
    strategy = tfps.ParameterServerStrategy(**settings.strategy_arguments())
    with strategy.scope():
        model = make_model(settings, vocabulary.size)
        compile_to_train(model, settings)
    print(f"{vocabulary.size} pieces, {model.count_params():,} parameters", flush=True)
    blocks = Blocks(vocabulary.model, settings.sequence_length, settings.batch_size)
    yardstick = Yardstick(
        metric="perplexity",
        baseline="unigram distribution",
        baseline_value=vocabulary.unigram_perplexity(corpus.held_out),
        number_format=".1f",
        log_scale=True,
        loss_unit="nats per token",
    )
    model.fit(
        # A resumed run starts with other text than the first epochs did.
        blocks.training(corpus.train, seed=settings.seed + folder.completed_epochs()),
        epochs=settings.epochs,
        steps_per_epoch=settings.steps_per_epoch,
        validation_data=blocks.held_out(corpus.held_out),
        callbacks=make_callbacks(
            settings,
            folder,
            yardstick,
            steps_per_epoch=settings.steps_per_epoch,
            examples_per_step=settings.batch_size,
        ),
        verbose=0,
    )
    save_sample(model, settings, corpus, vocabulary, folder)
    print(summary(folder), flush=True)


def make_model(settings: Settings, vocabulary_size: int) -> keras_nlp.models.GPT2CausalLM:
    """Return an untrained model; under a strategy's scope its variables lie on the ps."""
    import keras_nlp

    backbone = keras_nlp.models.GPT2Backbone(
        vocabulary_size=vocabulary_size,
        num_layers=settings.layers,
        num_heads=settings.heads,
        hidden_dim=settings.width,
        intermediate_dim=4 * settings.width,
        dropout=0.0,  # A run this short repeats no text often enough to overfit.
        max_sequence_length=settings.sequence_length,
        dtype=settings.dtype,
    )
    return keras_nlp.models.GPT2CausalLM(backbone, preprocessor=None)


def compile_to_train(
    model: keras_nlp.models.GPT2CausalLM,
    settings: Settings,
    optimizer: keras.optimizers.Optimizer | None = None,
) -> None:
    """Compile a model for `fit`; the default optimizer is Adam for late gradients."""
    import keras
    import keras_nlp

    from models.lib.training import adam

    steps = settings.epochs * settings.steps_per_epoch
    model.compile(
        optimizer=optimizer or adam(settings.learning_rate, steps, global_clipnorm=CLIP_NORM),
        loss=keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="mean_with_sample_weight"
        ),
        weighted_metrics=[keras_nlp.metrics.Perplexity(from_logits=True, mask_token_id=PAD_ID)],
        steps_per_execution=settings.steps_per_execution,
    )


def save_sample(
    model: keras_nlp.models.GPT2CausalLM,
    settings: Settings,
    corpus: Corpus,
    vocabulary: Vocabulary,
    folder: RunFolder,
) -> None:
    """Let the trained model continue two held-out passages, and save the text."""
    from models.lib.gpt import continue_prompts, longest

    # Outside the scope: a copy in this process, since each token needs all the weights.
    copy = make_model(settings, vocabulary.size)
    copy.set_weights(model.get_weights())
    text = continue_prompts(
        copy,
        vocabulary.processor(),
        longest(corpus.held_out, 2),
        sequence_length=settings.sequence_length,
        seed=settings.seed,
    )
    folder.save(SAMPLE, text)


def summary(folder: RunFolder) -> str:
    """Return the run's result, and a list of its files."""
    last = folder.history()[-1]
    return (
        f"held-out perplexity {last['val_perplexity']:.1f} after {last['epoch'] + 1:.0f} epochs; "
        f"the unigram distribution has {last['baseline_perplexity']:.1f}\n{folder.contents()}"
    )


def _load_text_ops() -> None:
    """Import the ops that tokenize text, which workers need."""
    import tensorflow_text  # noqa: F401


if __name__ == "__main__":
    main()
