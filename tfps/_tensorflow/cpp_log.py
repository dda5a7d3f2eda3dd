"""The log of TensorFlow's C++ code in this process."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator

import tensorflow as tf

_LIBRARY = "libtensorflow_framework.so.2"
_SET_LEVEL = "_ZN4absl12lts_2025081414SetMinLogLevelENS0_18LogSeverityAtLeastE"
_GET_LEVEL = "_ZN4absl12lts_2025081411MinLogLevelEv"
_FATAL = 3


def set_log_level(level: int) -> None:
    """Log only messages of a level or above, as TF_CPP_MIN_LOG_LEVEL does before the import.

    Args:
        level: 0 for all messages, 1 without INFO, 2 without WARNING, 3 without ERROR.
    """
    library = _library()
    if library is not None:
        getattr(library, _SET_LEVEL)(ctypes.c_int(level))


def find_devices() -> None:
    """Let TensorFlow look for its devices; on a machine without a CUDA driver, silently.

    Without the driver, TensorFlow logs an ERROR, although nothing is wrong.
    """
    if not _has_cuda_driver():
        with _only_fatal():
            tf.config.list_physical_devices()


def _library() -> ctypes.CDLL | None:
    """Return TensorFlow's library; None if this release has another one."""
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(os.path.join(tf.sysconfig.get_lib(), _LIBRARY))
        getattr(library, _SET_LEVEL).restype = None
        getattr(library, _GET_LEVEL).restype = ctypes.c_int
        return library
    return None


@contextlib.contextmanager
def _only_fatal() -> Iterator[None]:
    library = _library()
    level = getattr(library, _GET_LEVEL)() if library is not None else 0
    set_log_level(_FATAL)
    try:
        yield
    finally:
        set_log_level(level)


def _has_cuda_driver() -> bool:
    with contextlib.suppress(OSError):
        ctypes.CDLL("libcuda.so.1")
        return True
    return False
