"""Load a checkpoint's weights, and read its step."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import zipfile

import h5py
import keras
import tensorflow as tf

from tfps.errors import CheckpointMismatchError
from tfps.evaluator.checkpoints import (
    BACKUP_SUFFIX,
    INDEX_SUFFIX,
    KERAS_SUFFIXES,
    Checkpoint,
    is_as_found,
)

_WEIGHTS_IN_ARCHIVE = "model.weights.h5"
# Where Keras writes an optimizer's iterations. A LossScaleOptimizer has them in its inner one.
_ITERATIONS_IN_H5 = ("optimizer/inner_optimizer/vars/0", "optimizer/vars/0")
_ITERATIONS_SUFFIX = "/_iterations/.ATTRIBUTES/VARIABLE_VALUE"
# No trained variable has this value in all of its elements; float16 can represent it.
_BLANK = -54321.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Copy:
    """A checkpoint's files, copied to this machine.

    Attributes:
        path: Like `Checkpoint.path`, for the copy.
        files: Paths of the copied files.
        digest: A hash of their content.
    """

    path: str
    files: tuple[str, ...]
    digest: str

    @property
    def suffix(self) -> str:
        """The suffix of a Keras file's name; "" for a tf.train.Checkpoint."""
        return next((suffix for suffix in KERAS_SUFFIXES if self.path.endswith(suffix)), "")


def copy(checkpoint: Checkpoint, folder: str) -> Copy | None:
    """Copy a checkpoint into a folder; return None if it was written or removed meanwhile.

    HDF5 locks a file while reading it, so a training run could not overwrite it. The copy also
    makes sure that what is kept as the best is what was evaluated.

    Raises:
        tf.errors.OpError: It cannot be copied for any other reason.
    """
    hashed = hashlib.sha256()
    copies = []
    for file in checkpoint.files:
        name = os.path.basename(file.path).removesuffix(BACKUP_SUFFIX)
        copies.append(os.path.join(folder, name))
        try:
            tf.io.gfile.copy(file.path, copies[-1], overwrite=True)
        except tf.errors.NotFoundError:
            return None
        with open(copies[-1], "rb") as content:
            hashed.update(hashlib.file_digest(content, "sha256").digest())
    if not is_as_found(checkpoint):
        return None
    path = copies[-1].removesuffix(INDEX_SUFFIX)
    return Copy(path=path, files=tuple(copies), digest=hashed.hexdigest())


def load(model: keras.Model, checkpoint: Copy) -> int | None:
    """Load a checkpoint's weights into a model, without the optimizer's state.

    Returns:
        `optimizer.iterations`, if the checkpoint has it.

    Raises:
        CheckpointMismatchError: The weights belong to another model.
        Exception: A file is damaged, or is not a checkpoint.
    """
    if not checkpoint.suffix:
        return _load_checkpoint(model, checkpoint)
    file = checkpoint.path
    if checkpoint.suffix == ".keras":
        with zipfile.ZipFile(file) as archive:
            file = archive.extract(_WEIGHTS_IN_ARCHIVE, os.path.dirname(file))
    with h5py.File(file) as h5:
        iterations = _iterations_of_h5(h5)
    try:
        model.load_weights(file, objects_to_skip=[model.optimizer])
    except ValueError as error:
        raise _mismatch(checkpoint, str(error)) from error
    return iterations


def _iterations_of_h5(h5: h5py.File) -> int | None:
    for place in _ITERATIONS_IN_H5:
        value = h5.get(place)
        if value is not None and value.shape == () and value.dtype.kind in "iu":
            return int(value[()])
    return None


def _load_checkpoint(model: keras.Model, checkpoint: Copy) -> int | None:
    """Load a checkpoint of tf.train.Checkpoint(model=model) or tf.train.Checkpoint(model)."""
    prefix, missing = checkpoint.path, list(model.weights)
    for layout in (tf.train.Checkpoint(model=model), tf.train.Checkpoint(model)):
        for weight in missing:
            _make_blank(weight)
        try:
            layout.restore(prefix).expect_partial()
        except ValueError as error:
            raise _mismatch(checkpoint, str(error)) from error
        missing = [weight for weight in missing if _is_blank(weight)]
        if not missing:
            return _iterations_of_checkpoint(prefix)
    raise _mismatch(
        checkpoint,
        f"There is no value for {', '.join(weight.path for weight in missing)}. Save it as "
        "tf.train.Checkpoint(model=model, optimizer=optimizer).",
    )


def _iterations_of_checkpoint(prefix: str) -> int | None:
    reader = tf.train.load_checkpoint(prefix)
    names = [n for n in reader.get_variable_to_shape_map() if n.endswith(_ITERATIONS_SUFFIX)]
    # A LossScaleOptimizer has its own as well, which stays 0.
    return max((int(reader.get_tensor(name)) for name in names), default=None)


def _make_blank(weight: keras.Variable) -> None:
    """Assign a value to a weight that shows whether the checkpoint overwrites it.

    TensorFlow's own check would also require values for the optimizer, which may differ from the
    training's.
    """
    if keras.backend.is_float_dtype(weight.dtype):
        weight.assign(keras.ops.full(weight.shape, _BLANK, weight.dtype))


def _is_blank(weight: keras.Variable) -> bool:
    blank = keras.ops.cast(_BLANK, weight.dtype)
    return bool(keras.ops.size(weight)) and bool(keras.ops.all(keras.ops.equal(weight, blank)))


def _mismatch(checkpoint: Copy, reason: str) -> CheckpointMismatchError:
    return CheckpointMismatchError(
        f"The checkpoint {os.path.basename(checkpoint.path)} does not fit the evaluator's model. "
        f"Evaluate a model that is made like the one which is trained. {reason}"
    )
