"""models/lib/images.py: which images can be read, and which are refused."""

from __future__ import annotations

import gzip
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.lib.images import Images, digits, draw_predictions, read_idx, read_npz
from models.lib.inputs import InputError
from models.lib.run_folder import png

COUNT = 60
PIXELS = np.random.default_rng(0).integers(0, 256, (COUNT, 28, 28), np.uint8)
LABELS = np.arange(COUNT, dtype=np.uint8) % 10


def save_npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **{"x": PIXELS, "y": LABELS, **arrays})
    return path


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes()


def save_idx(folder: Path, images: bytes, labels: bytes = idx(LABELS)) -> tuple[Path, Path]:
    (folder / "images").write_bytes(images)
    (folder / "labels").write_bytes(labels)
    return folder / "images", folder / "labels"


def test_default_data_are_the_digits_scaled() -> None:
    images = digits()
    assert images.x.shape == (1797, 28, 28)
    assert (images.x.min(), images.x.max()) == (0, 1)
    assert np.bincount(images.y).min() > 100
    # A pixel of 8 x 8 is 3 or 4 pixels wide here, so each row has at most 8 different ones.
    assert (np.diff(images.x, axis=2) != 0).any(axis=(0, 1)).sum() == 7
    assert 120 < images.is_held_out.sum() < 240


@pytest.mark.parametrize("shape", [(COUNT, 28, 28), (COUNT, 784), (COUNT, 28, 28, 1)])
@pytest.mark.parametrize("kind", ["uint8", "int64", "float64"])
def test_npz_of_any_layout_is_read(tmp_path: Path, shape: tuple[int, ...], kind: str) -> None:
    pixels = PIXELS / 255 if kind == "float64" else PIXELS.astype(kind)
    path = save_npz(tmp_path / "a.npz", x=pixels.reshape(shape), y=LABELS.astype("int64"))
    images = read_npz(path)
    np.testing.assert_allclose(images.x, PIXELS / 255, rtol=1e-6)
    np.testing.assert_array_equal(images.y, LABELS)
    assert images.x.dtype == np.float32


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_idx_is_read_compressed_or_not(tmp_path: Path, compress: Any) -> None:
    images = read_idx(*save_idx(tmp_path, compress(idx(PIXELS)), compress(idx(LABELS))))
    np.testing.assert_allclose(images.x, PIXELS / 255, rtol=1e-6)
    np.testing.assert_array_equal(images.y, LABELS)


def test_equal_images_are_on_one_side(tmp_path: Path) -> None:
    twice = {"x": np.concatenate([PIXELS, PIXELS]), "y": np.concatenate([LABELS, LABELS])}
    images = read_npz(save_npz(tmp_path / "a.npz", **twice))
    np.testing.assert_array_equal(images.is_held_out[:COUNT], images.is_held_out[COUNT:])
    assert 0 < images.is_held_out.sum() < COUNT


def test_most_frequent_class_is_that_of_the_training_part() -> None:
    images = Images(name="made up", x=np.float32(PIXELS), y=np.where(LABELS < 7, 3, LABELS))
    assert images.most_frequent_accuracy == np.mean(images.held_out[1] == 3)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": PIXELS[:, :20]}, "x has the shape (60, 20, 28), but must hold images of 28 x 28"),
        ({"x": PIXELS[:0]}, "x has the shape (0, 28, 28), but must hold"),
        ({"x": np.uint8(7)}, "x has the shape (), but must hold"),
        ({"x": PIXELS - 300.0}, "image 0 (counted from 0) has a pixel of -"),
        ({"x": np.where(PIXELS == 0, np.nan, 0.5)}, "has a pixel of nan, but pixels of float64"),
        ({"x": PIXELS.astype("int64") + 1}, "pixel of 256, but pixels of int64 must be from 0"),
        ({"x": PIXELS.astype("U3")}, "x is of <U3, but must be of uint8"),
        ({"y": LABELS[:-1]}, "y has the shape (59,), but must hold one label for each of the 60"),
        ({"y": LABELS + 3}, "y: the label of image 7 (counted from 0) is 10, but must be"),
        ({"y": LABELS - np.int64(1)}, "y: the label of image 0 (counted from 0) is -1, but"),
        ({"y": LABELS + 0.5}, "y: the label of image 0 (counted from 0) is 0.5, but must be"),
        ({"y": LABELS.astype("U1")}, "y: the label of image 0 (counted from 0) is '0', but must"),
        ({"y": LABELS.astype(object)}, "cannot be read as a NumPy archive: Object arrays"),
        ({"x": PIXELS[:1], "y": LABELS[:1]}, "1 images are too few"),
    ],
)
def test_unsuitable_array_is_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray], message: str
) -> None:
    path = save_npz(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=re.escape(message)) as raised:
        read_npz(path)
    assert str(raised.value).startswith(str(path))


def test_npz_without_labels_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=PIXELS, labels=LABELS)
    with pytest.raises(InputError, match=r"no array 'y'; it has x, labels\. Save it as"):
        read_npz(tmp_path / "a.npz")


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04cut", b"\x93NUMPY\x01"])
def test_file_that_is_no_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.npz: cannot be read as a NumPy archive"):
        read_npz(tmp_path / "a.npz")


def test_bare_array_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "a.npz").open("wb") as file:
        np.save(file, PIXELS)
    with pytest.raises(InputError, match=r"a\.npz: cannot be read as a NumPy archive"):
        read_npz(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (idx(LABELS), idx(LABELS), "images: begins with 0x00000801, but an IDX file of images"),
        (idx(PIXELS), idx(PIXELS), "labels: begins with 0x00000803, but an IDX file of labels"),
        (b"", idx(LABELS), "images: begins with nothing: the file is empty, but an IDX file"),
        (b"\0\0\x08\x03\0", idx(LABELS), "images: has 5 bytes, but the header's"),
        (idx(PIXELS)[:-9], idx(LABELS), "images: has 47047 bytes, but the header's 60 x 28 x 28"),
        (idx(PIXELS) + b"more", idx(LABELS), "images: has 47060 bytes, but"),
        (gzip.compress(idx(PIXELS))[:-9], idx(LABELS), "images: cannot be decompressed"),
        (idx(PIXELS[:, :9]), idx(LABELS), "images has the shape (60, 9, 28)"),
        (idx(PIXELS), idx(LABELS[:9]), "labels has the shape (9,), but must hold one label"),
        (idx(PIXELS), idx(LABELS + 1), "labels: the label of image 9 (counted from 0) is 10"),
    ],
)
def test_unsuitable_idx_file_is_refused(
    tmp_path: Path, images: bytes, labels: bytes, message: str
) -> None:
    with pytest.raises(InputError, match=re.escape(f"{tmp_path}/{message}")):
        read_idx(*save_idx(tmp_path, images, labels))


def test_picture_of_fewer_images_than_places_is_a_png() -> None:
    figure = draw_predictions(PIXELS[:5], LABELS[:5], LABELS[:5][::-1])
    assert png(figure).startswith(b"\x89PNG")
