"""Images of 28 x 28 pixels with labels from 0 to 9: reading and drawing. No TensorFlow here."""

from __future__ import annotations

import gzip
import math
import zipfile
import zlib
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from models.lib.examples import Examples
from models.lib.inputs import InputError

SIDE, CLASSES = 28, 10
# An IDX file begins with its magic number: the type, here bytes, and the number of axes.
_IDX_OF_IMAGES, _IDX_OF_LABELS = 0x00000803, 0x00000801


class Images(Examples):
    """Images and labels: x is `(images, 28, 28)` float32 from 0 to 1, y is `(images,)` uint8."""

    @property
    def most_frequent_accuracy(self) -> float:
        """Accuracy on the held-out part of always predicting training's most frequent label."""
        most_frequent = np.bincount(self.train[1]).argmax()
        return float(np.mean(self.held_out[1] == most_frequent))


def digits() -> Images:
    """Take scikit-learn's digits: 1797 images of 8 x 8, scaled up by repeating pixels."""
    from sklearn import datasets

    bunch = datasets.load_digits()
    pixel = np.arange(SIDE) * 8 // SIDE
    x = np.float32(bunch.images / 16)[:, pixel][:, :, pixel]
    return Images(name="scikit-learn's digits", x=x, y=np.uint8(bunch.target))


def read_npz(path: Path) -> Images:
    """Read a NumPy archive (.npz) with images as the array x and labels as the array y.

    Raises:
        InputError: The file is not such an archive, lacks an array, or has an unsuitable one.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            if missing := [name for name in ("x", "y") if name not in archive]:
                raise InputError(
                    f"{path}: no array {missing[0]!r}; it has {', '.join(archive) or 'none'}. "
                    "Save it as np.savez('images.npz', x=images, y=labels)."
                )
            x, y = archive["x"], archive["y"]
    except OSError as error:
        raise InputError(_unreadable(path, error)) from error
    # np.load gives a bare array for .npy, and refuses arrays of Python objects by ValueError.
    except (
        AttributeError,
        EOFError,
        TypeError,
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path}: cannot be read as a NumPy archive: {error}. "
            "Save it as np.savez('images.npz', x=images, y=labels), or give IDX files."
        ) from error
    return _checked(str(path), f"{path}: x", x, f"{path}: y", y)


def read_idx(images: Path, labels: Path) -> Images:
    """Read a pair of IDX files, the format of MNIST, compressed by gzip or not.

    Raises:
        InputError: A file cannot be read, is not an IDX file of images or labels, or has an
            unsuitable image or label.
    """
    x = _read_idx(images, _IDX_OF_IMAGES, "images")
    y = _read_idx(labels, _IDX_OF_LABELS, "labels")
    return _checked(f"{images} and {labels}", str(images), x, str(labels), y)


def _read_idx(path: Path, magic: int, kind: str) -> np.ndarray:
    try:
        content = path.read_bytes()
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"{path}: cannot be decompressed: {error}. It may be cut short: get it again."
        ) from error
    except OSError as error:
        raise InputError(_unreadable(path, error)) from error
    axes = magic & 0xFF
    header = np.frombuffer(content[: 4 + 4 * axes].ljust(4 + 4 * axes, b"\0"), ">u4")
    if header[0] != magic or not content:
        begins = f"0x{content[:4].hex()}" if content else "nothing: the file is empty"
        raise InputError(
            f"{path}: begins with {begins}, but an IDX file of {kind} begins with 0x{magic:08x}. "
            "Images go to --data and labels to --labels."
        )
    shape = [int(size) for size in header[1:]]
    if len(content) != header.nbytes + math.prod(shape):
        raise InputError(
            f"{path}: has {len(content)} bytes, but the header's {' x '.join(map(str, shape))} "
            f"{kind} take {header.nbytes + math.prod(shape)}. It may be cut short: get it again."
        )
    return np.frombuffer(content, np.uint8, offset=header.nbytes).reshape(shape)


def _checked(name: str, x_name: str, x: np.ndarray, y_name: str, y: np.ndarray) -> Images:
    """Check arrays and scale pixels; errors name the array by `x_name` or `y_name`."""
    pixels = SIDE * SIDE
    if not len(np.atleast_1d(x)) or math.prod(x.shape[1:]) != pixels or x.ndim < 2:
        raise InputError(
            f"{x_name} has the shape {x.shape}, but must hold images of {SIDE} x {SIDE}: "
            f"(images, {SIDE}, {SIDE}) or (images, {pixels}), at least one image. Scale them."
        )
    if y.shape != (len(x),):
        raise InputError(
            f"{y_name} has the shape {y.shape}, but must hold one label for each of the {len(x)} "
            f"images: ({len(x)},)."
        )
    whole = y.dtype.kind in "iu"
    bad = np.flatnonzero((y < 0) | (y >= CLASSES)) if whole else np.arange(len(y))
    if len(bad):
        raise InputError(
            f"{y_name}: the label of image {bad[0]} (counted from 0) is {y[bad[0]].item()!r}, but "
            f"must be a whole number from 0 to {CLASSES - 1}. Correct the {len(bad)} that are not."
        )
    images = Images(name=name, x=_scaled(x_name, x).reshape(-1, SIDE, SIDE), y=y.astype(np.uint8))
    if not len(images.train[0]):
        raise InputError(f"{name}: {len(x)} images are too few to train on and to hold some out.")
    return images


def _scaled(name: str, x: np.ndarray) -> np.ndarray:
    """Scale pixels to 0 to 1: whole numbers are from 0 to 255, others are from 0 to 1 already."""
    largest = {"f": 1.0, "i": 255, "u": 255}.get(x.dtype.kind)
    if largest is None:
        raise InputError(f"{name} is of {x.dtype}, but must be of uint8 (0 to 255) or of floats.")
    bad = np.argwhere(~((x >= 0) & (x <= largest)))  # Written so that NaN is bad, too.
    if len(bad):
        raise InputError(
            f"{name}: image {bad[0][0]} (counted from 0) has a pixel of {x[tuple(bad[0])]}, but "
            f"pixels of {x.dtype} must be from 0 to {largest}. Scale them."
        )
    return np.float32(x / largest)


def _unreadable(path: Path, error: OSError) -> str:
    return f"{path}: cannot be read: {error.strerror or error}. Check the path."


def draw_predictions(x: np.ndarray, y: np.ndarray, predicted: np.ndarray) -> Figure:
    """Draw the first images with their predicted labels; errors are red, with the true label.

    Args:
        x: `(images, height, width)`.
        y: `(images,)`, the true labels.
        predicted: `(images,)`, the predicted labels.
    """
    figure = Figure(figsize=(8, 5), layout="constrained")
    for axes, image, label, guess in zip(figure.subplots(4, 8).flat, x, y, predicted, strict=False):
        axes.imshow(image, cmap="gray_r")
        right = guess == label
        axes.set_title(
            guess if right else f"{guess}, is {label}", color="black" if right else "red"
        )
    for axes in figure.axes:
        axes.set_axis_off()
    return figure
