"""Load a checkpoint's weights, and read which step it is of."""

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
# Where Keras writes an optimizer's iterations; that of a LossScaleOptimizer is the inner one's.
_ITERATIONS_IN_H5 = ("optimizer/inner_optimizer/vars/0", "optimizer/vars/0")
_ITERATIONS_SUFFIX = "/_iterations/.ATTRIBUTES/VARIABLE_VALUE"
# No model has it in all of a variable, float16 ones included.
_BLANK = -54321.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Copy:
    """A checkpoint's files, copied to this machine.

    Attributes:
        path: As `Checkpoint.path`, of the copy.
        files: Paths of the copied files.
        digest: A hash of their content.
    """

    path: str
    files: tuple[str, ...]
    digest: str

    @property
    def suffix(self) -> str:
        """What a Keras file's name ends in, or nothing for a tf.train.Checkpoint."""
        return next((suffix for suffix in KERAS_SUFFIXES if self.path.endswith(suffix)), "")


def copy(checkpoint: Checkpoint, folder: str) -> Copy | None:
    """Copy a checkpoint into a folder; return None if somebody wrote or removed it meanwhile.

    HDF5 locks a file that it reads: a training that wants to overwrite it then fails. And what is
    kept as the best has to be what was evaluated.

    Raises:
        tf.errors.OpError: It cannot be copied for another reason.
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
    """Load the weights into a model, but not the optimizer's state.

    Returns:
        `optimizer.iterations`, where the checkpoint has it.

    Raises:
        CheckpointMismatchError: They are another model's.
        Exception: A file is no checkpoint, or is damaged.
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
        found = h5.get(place)
        if found is not None and found.shape == () and found.dtype.kind in "iu":
            return int(found[()])
    return None


def _load_checkpoint(model: keras.Model, checkpoint: Copy) -> int | None:
    """Load what tf.train.Checkpoint(model=model), or tf.train.Checkpoint(model), has saved."""
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
    # A LossScaleOptimizer has one as well, which stays 0.
    return max((int(reader.get_tensor(name)) for name in names), default=None)


def _make_blank(weight: keras.Variable) -> None:
    """Give a weight a value that shows whether another one is restored.

    TensorFlow's own check wants values for the optimizer, too, and the training may have another.
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
