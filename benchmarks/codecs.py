"""Bytes, speed and error of each codec of tfps.wire, on one thread.

    python -m benchmarks.codecs

encodes and decodes the gradients of the dense matrices of the reference encoder, 3.15 million
float32 random normals in 24 tensors, once with each codec in each round. It prints the bytes that
travel for each number, the speed in GB/s of float32 input, and the error of one step relative to
the norm. A second table tells what snappy makes of several kinds of numbers.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
import tyro

from benchmarks import report
from tfps import wire
from tfps.wire.codec import num_bytes

LAYER = [(256, 256)] * 4 + [(256, 1024), (1024, 256)]
SHAPES = LAYER * 4

CODECS: dict[str, wire.Codec] = {
    "Identity": wire.Identity(),
    "Cast bfloat16": wire.Cast("bfloat16"),
    "Cast float16": wire.Cast("float16"),
    "Int8": wire.Int8(),
    "Int8 stochastic": wire.Int8(rounding="stochastic"),
    "OneBit": wire.OneBit(),
    "TopK 1 %": wire.TopK(0.01),
    "TopK 1 % sampled": wire.TopK(0.01, threshold="sampled"),
    "TopK 0.1 % sampled": wire.TopK(0.001, threshold="sampled"),
    "RandomK 1 %": wire.RandomK(0.01),
    "PowerSGD rank 4": wire.PowerSGD(4),
    "Feedback: OneBit": wire.ErrorFeedback(wire.OneBit()),
    "Feedback: TopK 1 %": wire.ErrorFeedback(wire.TopK(0.01)),
    "Feedback: TopK 1 % sampled": wire.ErrorFeedback(wire.TopK(0.01, threshold="sampled")),
    "Feedback: PowerSGD rank 4": wire.ErrorFeedback(wire.PowerSGD(4)),
    "Deep Gradient Compression": wire.deep_gradient_compression(clip_norm=1e3),
}
KINDS: dict[str, tuple[wire.Codec, Callable[[tf.Tensor], tf.Tensor]]] = {
    "float32 normals": (wire.Identity(), lambda x: x),
    "bfloat16 normals": (wire.Cast(), lambda x: x),
    "float32 zeros": (wire.Identity(), tf.zeros_like),
    "float32, 1 % not 0": (wire.Identity(), lambda x: tf.where(tf.abs(x) > 2.576, x, 0.0)),
    "Int8 of normals": (wire.Int8(), lambda x: x),
    "Int8 of heavy tails (normals ^ 5)": (wire.Int8(), lambda x: x**5),
    "OneBit of normals": (wire.OneBit(), lambda x: x),
    "TopK 1 % of normals": (wire.TopK(0.01, threshold="sampled"), lambda x: x),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    """Measure bytes, speed and error of the codecs."""

    rounds: int = 15
    """Rounds to measure; each codec is warmed up before."""
    json: Path | None = None
    """A file to write the numbers to."""


@dataclasses.dataclass(kw_only=True)
class Case:
    """A codec, the tensors that it codes, and the measured times.

    Attributes:
        codec: What is measured.
        tensors: What is encoded.
        encode_s: The seconds of each call to encode.
        decode_s: The seconds of each call to decode.
    """

    codec: wire.Codec
    tensors: Sequence[tf.Tensor]
    encode_s: list[float] = dataclasses.field(default_factory=list)
    decode_s: list[float] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        self._state = self.codec.initial_state(SHAPES)
        seed = tf.TensorSpec([2], tf.int32)
        self._encode = tf.function(self._encoded).get_concrete_function(
            self.tensors, seed, self._state
        )
        # Some codecs send another number of elements at each step.
        parts = [tf.TensorSpec(t.shape, t.dtype) for t in self._encode.structured_outputs[0]]
        self._decode = tf.function(self._decoded).get_concrete_function(parts)
        self.first = self.run(0)

    def run(self, number: int) -> tuple[Sequence[tf.Tensor], Sequence[tf.Tensor]]:
        """Encode and decode once; return the encoded and the decoded tensors."""
        seed = tf.constant([number, 1])
        started = time.perf_counter()
        parts, self._state = self._encode(self.tensors, seed, self._state)
        encoded = time.perf_counter()
        decoded = self._decode(parts)
        ended = time.perf_counter()
        if number:
            self.encode_s.append(encoded - started)
            self.decode_s.append(ended - encoded)
        return parts, decoded

    def _encoded(self, tensors: Any, seed: tf.Tensor, state: Any) -> tuple[Any, Any]:
        encoded = self.codec.encode(tensors, seed=seed, state=state)
        return list(encoded.parts), list(encoded.state)

    def _decoded(self, parts: Any) -> Any:
        return self.codec.decode(parts, SHAPES, tf.float32)

    @property
    def bytes_per_number(self) -> float:
        """Return the encoded bytes per number at the first step."""
        return float(num_bytes(self.first[0])) / sum(tf.size(t).numpy() for t in self.tensors)

    @property
    def error(self) -> float:
        """Return the relative error of the first step: its norm over that of the tensors."""
        apart = [a - b for a, b in zip(self.first[1], self.tensors, strict=True)]
        return float(tf.linalg.global_norm(apart) / tf.linalg.global_norm(self.tensors))


def main() -> None:
    """Measure and publish."""
    arguments = tyro.cli(Arguments)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    normals = [tf.random.stateless_normal(s, [n, 1]) for n, s in enumerate(SHAPES)]
    codecs = {name: Case(codec=codec, tensors=normals) for name, codec in CODECS.items()}
    measure(codecs, arguments.rounds)
    kinds = {}
    for name, (codec, of) in KINDS.items():
        tensors = [of(tensor) for tensor in normals]
        kinds[name] = Case(codec=codec, tensors=tensors)
        kinds[f"{name}, Lossless"] = Case(codec=wire.Lossless(codec), tensors=tensors)
    measure(kinds, arguments.rounds)
    report.publish([_speeds(codecs), _snappy(kinds)], arguments.json)


def measure(cases: dict[str, Case], rounds: int) -> None:
    """Run each case once in each round."""
    for number in range(1, rounds + 1):
        for case in cases.values():
            case.run(number)


def _speeds(cases: dict[str, Case]) -> report.Table:
    rows: list[list[report.Cell]] = []
    for name, case in cases.items():
        num = 4e-9 * sum(tf.size(t).numpy() for t in case.tensors)
        speeds = [
            speed
            for seconds in (case.encode_s, case.decode_s)
            for speed in report.low_middle_high([float(num / s) for s in seconds])
        ]
        rows.append([name, case.bytes_per_number, *speeds, case.error])
    return report.Table(
        title="3.15 M float32 normals in 24 matrices, one thread; GB/s of float32",
        columns=[
            *["codec", "bytes each", "encode min", "median", "max"],
            *["decode min", " median", " max", "error"],
        ],
        rows=rows,
        note="error: norm of one step's error over that of the numbers. Where there is feedback it "
        "is of the first step, and what is missing is sent later. Encoding with feedback decodes.",
    )


def _snappy(cases: dict[str, Case]) -> report.Table:
    rows: list[list[report.Cell]] = []
    for name in KINDS:
        plain, packed = cases[name], cases[f"{name}, Lossless"]
        encode, decode = (
            1e3 * (statistics.median(after) - statistics.median(before))
            for before, after in [
                (plain.encode_s, packed.encode_s),
                (plain.decode_s, packed.decode_s),
            ]
        )
        before, after = plain.bytes_per_number, packed.bytes_per_number
        rows.append([name, before, after, after / before, encode, decode])
    return report.Table(
        title="Lossless: what snappy makes of the parts, and the ms it adds (medians)",
        columns=["parts", "bytes each", "compressed", "ratio", "encode + ms", "decode + ms"],
        rows=rows,
    )


if __name__ == "__main__":
    main()
