"""Which ps a new variable goes to."""

from __future__ import annotations

CHIEF_DEVICE = "/job:chief/replica:0/task:0/device:CPU:0"
"""Where metric state lies, and what the workers return arrives."""


NEGLIGIBLE_BYTES = 1 << 16
"""A step's messages to one more ps take longer than that these bytes travel to another one."""


class ByteBalance:
    """Give each new variable to a ps that holds the fewest bytes, but for what is negligible.

    So a small model lies on one ps, and a step has nothing to tell the others. TensorFlow's own
    strategy deals variables out in turn: kernels and biases alternate, and all the kernels land on
    one of two ps.
    """

    def __init__(self, num_ps: int) -> None:
        self._bytes = [0] * num_ps

    @property
    def bytes_per_ps(self) -> tuple[int, ...]:
        """Bytes of the variables that lie on each ps."""
        return tuple(self._bytes)

    def choose(self, *, is_shard: bool = False) -> int:
        """Return the index of the ps for a new variable.

        It is the first one that holds only negligibly more than another; for a shard, which was
        split off to lie elsewhere, the first of those that hold the least.
        """
        most = min(self._bytes) + (0 if is_shard else NEGLIGIBLE_BYTES)
        return next(ps for ps, held in enumerate(self._bytes) if held <= most)

    def add(self, ps: int, num_bytes: int) -> None:
        """Record that a variable of `num_bytes` now lies on `ps`."""
        self._bytes[ps] += num_bytes

    def remove(self, ps: int, num_bytes: int) -> None:
        """Record that a variable of `num_bytes` on `ps` is gone."""
        self._bytes[ps] -= num_bytes


def ps_device(ps: int) -> str:
    """Return the device on which the variables of a ps lie, and where they are updated."""
    return f"/job:ps/replica:0/task:{ps}/device:CPU:0"
