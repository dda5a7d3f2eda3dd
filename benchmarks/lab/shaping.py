"""What a link of a chosen rate is made of: the settings of `tc tbf`, and the device's counters.

Nothing here touches the machine.
"""

from __future__ import annotations

import dataclasses
import math

UNLIMITED = math.inf
"""The rate of a link without a limit."""
DEVICE = "eth0"
"""The name of the task's end of its link."""
LINE = 1514
"""Bytes of a full frame, as the rate counts them: MTU and Ethernet header."""
PAYLOAD = 1448
"""Bytes of a full frame that TCP carries: without headers of Ethernet, IP and TCP."""

# TCP hands up to 64 KB at once to the device, with headers; a bucket below that cuts each such
# packet into frames, which takes the sender's CPU time.
_LEAST_BURST_BYTES = 72 * 1024
# Tokens that come while a busy machine lets the sender wait are not lost.
_BURST_S = 2e-3
# A switch's buffer. Below it two senders to one receiver lose packets and leave gaps.
_LEAST_QUEUE_BYTES = 1 << 20
_QUEUE_S = 0.05


@dataclasses.dataclass(frozen=True, kw_only=True)
class Moved:
    """What a task's link carried, headers included, and what its processes computed.

    Attributes:
        down_bytes: To the task.
        up_bytes: From the task.
        cpu_s: CPU seconds of all processes on the link, in user and kernel mode.
    """

    down_bytes: int
    up_bytes: int
    cpu_s: float = 0.0

    def since(self, before: Moved) -> Moved:
        """Return what came in addition to `before`."""
        return Moved(
            down_bytes=self.down_bytes - before.down_bytes,
            up_bytes=self.up_bytes - before.up_bytes,
            cpu_s=self.cpu_s - before.cpu_s,
        )


def payload_mbit(rate_mbit: float) -> float:
    """Return what TCP can carry on a link of a rate, both in Mbit/s."""
    return rate_mbit * PAYLOAD / LINE


def shape(device: str, rate_mbit: float) -> tuple[str, ...]:
    """Return the arguments of `tc` that give a rate to what a device sends.

    Args:
        device: The device.
        rate_mbit: Mbit/s, headers included, or `UNLIMITED`.
    """
    if rate_mbit == UNLIMITED:
        return ("qdisc", "replace", "dev", device, "root", "noqueue")
    bytes_per_s = rate_mbit * 1e6 / 8
    burst = max(_LEAST_BURST_BYTES, math.ceil(_BURST_S * bytes_per_s))
    queue = max(_LEAST_QUEUE_BYTES, math.ceil(_QUEUE_S * bytes_per_s))
    # tc reads "bit", "b" as bits and bytes per second, and as bytes.
    rate = ("rate", f"{round(rate_mbit * 1e6)}bit", "burst", f"{burst}b", "limit", f"{queue}b")
    return ("qdisc", "replace", "dev", device, "root", "tbf", *rate)


def address(number: int) -> str:
    """Return the address of the link of this number, from 0."""
    return f"10.77.0.{number + 1}"


def read_counters(listing: str, device: str = DEVICE) -> Moved:
    """Read what a device carried from the content of `/proc/net/dev`.

    Raises:
        LookupError: It has no such device.
    """
    for line in listing.splitlines():
        name, colon, counters = line.partition(":")
        if colon and name.strip() == device:
            fields = counters.split()
            return Moved(down_bytes=int(fields[0]), up_bytes=int(fields[8]))
    raise LookupError(f"There is no device {device!r} among the counters:\n{listing}")
