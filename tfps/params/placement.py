"""Which ps a new variable goes to."""

from __future__ import annotations

CHIEF_DEVICE = "/job:chief/replica:0/task:0/device:CPU:0"
"""Where metric state lies, and what the workers return arrives."""


class ByteBalance:
    """Give each new variable to the ps that holds the fewest bytes.

    TensorFlow's own strategy deals variables out in turn, so that kernels and biases alternate
    and all the kernels land on one of two ps.
    """

    def __init__(self, num_ps: int) -> None:
        self._bytes = [0] * num_ps

    @property
    def bytes_per_ps(self) -> tuple[int, ...]:
        """Bytes of the variables placed so far, for each ps."""
        return tuple(self._bytes)

    def lightest(self) -> int:
        """Return the index of the ps with the fewest bytes, the first among equals."""
        return min(range(len(self._bytes)), key=self._bytes.__getitem__)

    def add(self, ps: int, num_bytes: int) -> None:
        """Record that a variable of `num_bytes` now lies on `ps`."""
        self._bytes[ps] += num_bytes


def ps_device(ps: int) -> str:
    """Return the device on which the variables of a ps lie, and where they are updated."""
    return f"/job:ps/replica:0/task:{ps}/device:CPU:0"
