"""models/lib/gpt.py: blocks of next-token prediction for each worker, and a sample of text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from models import gpt_lm
from models.gpt_lm import Settings
from models.lib import corpus, vocabulary
from models.lib.corpus import Corpus
from models.lib.gpt import Blocks, continue_prompts, longest, to_blocks
from models.lib.vocabulary import END_ID, PAD_ID, START_ID, Vocabulary

LENGTH = 8
SETTINGS = Settings(layers=1, heads=2, width=8, sequence_length=16, vocabulary_size=512)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("texts")
    for number in range(3):
        lines = (f"\tdef name{n % 50}(x{number}):\n    return é  # {n}\n" for n in range(1000))
        (folder / f"{number}.txt").write_text("".join(lines), encoding="utf-8")
    return corpus.text_files(f"{folder}/*.txt")


@pytest.fixture(scope="module")
def trained(texts: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    return vocabulary.load_or_train(texts, 512, tmp_path_factory.mktemp("vocabularies"))


@pytest.fixture(scope="module")
def small_blocks(trained: Vocabulary) -> Blocks:
    return Blocks(trained.model, sequence_length=LENGTH, batch_size=4)


def context(workers: int, index: int) -> tf.distribute.InputContext:
    return tf.distribute.InputContext(num_input_pipelines=workers, input_pipeline_id=index)


def counts(batches: Iterable[Any], size: int) -> np.ndarray:
    total = np.zeros(size, np.int64)
    for _, targets, weights in batches:
        total += np.bincount(targets[weights == 1], minlength=size)
    return total


@pytest.mark.parametrize("tokens", [0, 1, LENGTH - 1, LENGTH, 3 * LENGTH + 2])
def test_each_token_and_the_end_is_a_target_once(tokens: int) -> None:
    ids = tf.range(10, 10 + tokens)

    inputs, targets, weights = to_blocks(ids, LENGTH)

    token_ids = inputs["token_ids"].numpy()
    assert token_ids.shape == targets.shape == weights.shape
    assert targets.shape[1] == LENGTH
    is_target = weights.numpy() == 1
    assert targets.numpy()[is_target].tolist() == [*ids.numpy(), END_ID]
    assert token_ids[is_target].tolist() == [START_ID, *ids.numpy()]
    assert set(targets.numpy()[~is_target].tolist()) <= {PAD_ID}
    np.testing.assert_array_equal(inputs["padding_mask"].numpy(), is_target)
    assert len(targets) == -(-(tokens + 1) // LENGTH)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_held_out_tokens_come_once_over_any_number_of_workers(
    texts: Corpus, trained: Vocabulary, small_blocks: Blocks, workers: int
) -> None:
    make_dataset = small_blocks.held_out(texts.held_out)
    total = sum(
        counts(make_dataset(context(workers, index)).as_numpy_iterator(), trained.size)
        for index in range(workers)
    )
    expected = vocabulary.count_targets(trained.model, texts.held_out)
    np.testing.assert_array_equal(total, expected)


def test_training_round_has_each_token_of_the_workers_share(
    texts: Corpus, trained: Vocabulary, small_blocks: Blocks
) -> None:
    share = texts.train[1::2]
    expected = vocabulary.count_targets(trained.model, share)
    tokens_of = [vocabulary.count_targets(trained.model, [p]).sum() for p in share]
    block_count = int(sum(-(-tokens // LENGTH) for tokens in tokens_of))

    dataset = small_blocks.training(texts.train, seed=0)(context(2, 1))

    # Shuffled buffers mix rounds, so four rounds hold about four times each token, and no other.
    batches = dataset.take(4 * block_count // 4).as_numpy_iterator()
    seen = counts(batches, trained.size)
    assert set(np.flatnonzero(seen)) <= set(np.flatnonzero(expected))
    assert seen.sum() == pytest.approx(4 * expected.sum(), rel=0.05)


def test_training_order_depends_on_seed_and_worker(texts: Corpus, small_blocks: Blocks) -> None:
    def first(seed: int, index: int) -> bytes:
        dataset = small_blocks.training(texts.train, seed=seed)(context(2, index))
        inputs, _, _ = next(dataset.as_numpy_iterator())
        return bytes(inputs["token_ids"].tobytes())

    assert first(0, 0) == first(0, 0)
    assert len({first(0, 0), first(1, 0), first(0, 1)}) == 3


def test_batches_have_static_length(texts: Corpus, small_blocks: Blocks) -> None:
    inputs, targets, weights = small_blocks.training(texts.train, seed=0)(
        context(1, 0)
    ).element_spec
    assert inputs["token_ids"].shape == targets.shape == weights.shape == (4, LENGTH)
    assert (targets.dtype, weights.dtype) == (tf.int32, tf.float32)
    assert inputs["padding_mask"].dtype == tf.int32


def test_dataset_function_runs_inside_a_graph(
    texts: Corpus, trained: Vocabulary, small_blocks: Blocks
) -> None:
    """A coordinator traces it: nothing eager may be captured."""

    @tf.function
    def count() -> tf.Tensor:
        dataset = small_blocks.held_out(texts.held_out)(context(1, 0))
        return dataset.reduce(0.0, lambda total, batch: total + tf.reduce_sum(batch[2]))

    concrete = count.get_concrete_function()
    assert not concrete.captured_inputs
    expected = vocabulary.count_targets(trained.model, texts.held_out)
    assert int(concrete()) == expected.sum()


def test_more_workers_than_passages_is_refused(texts: Corpus, small_blocks: Blocks) -> None:
    with pytest.raises(ValueError, match="3 workers share 2 passages"):
        small_blocks.training(texts.train[:2], seed=0)(context(3, 0))


def test_sample_continues_prompts_and_is_repeatable(texts: Corpus, trained: Vocabulary) -> None:
    prompts = longest(texts.held_out, 2)
    keras.utils.set_random_seed(1)
    model = gpt_lm.make_model(SETTINGS, trained.size)
    weights = model.get_weights()

    def write(seed: int) -> str:
        copy = gpt_lm.make_model(SETTINGS, trained.size)
        copy.set_weights(weights)
        return continue_prompts(copy, trained.processor(), prompts, sequence_length=16, seed=seed)

    text = write(0)
    assert [f"--- prompt ---\n{prompt[:3]}" in text for prompt in prompts] == [True, True]
    continuations = text.split("--- continuation ---\n")[1:]
    assert len(continuations) == 2
    assert any(len(continuation) > 10 for continuation in continuations)
    assert write(0) == text
    assert write(1) != text


def test_longest_passages_come_first(texts: Corpus) -> None:
    first, second = longest(texts.train, 2)
    assert len(first.encode()) >= len(second.encode())
    assert len(first.encode()) == max(passage.size_bytes for passage in texts.train)
