"""What a dispatch tells the chief, packed and read."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from tfps.step.report import Format, steps_of


def test_a_report_is_read_as_it_was_packed() -> None:
    dtypes = ("float32", "int32", "float64", "bfloat16", "int64", "uint8")
    shapes = ((), (3,), (2, 1), (2,), (), (5,))
    metrics = [
        keras.Variable(np.arange(np.prod(shape, dtype=int)).reshape(shape) + 1, dtype=dtype)
        for dtype, shape in zip(dtypes, shapes, strict=True)
    ]
    traffic = np.arange(12).reshape(3, 2, 2)
    layout = Format(3, metrics)

    @tf.function
    def pack() -> tf.Tensor:
        values = [tf.convert_to_tensor(metric.value) for metric in metrics]
        return layout.pack(
            *(tf.constant(number, tf.int64) for number in (7, 2, 5)), tf.constant(traffic), values
        )

    packed = pack().numpy()
    assert steps_of(packed) == 7
    report = layout.read(packed)
    assert (report.steps, report.dropped, report.missed) == (7, 2, 5)
    np.testing.assert_array_equal(report.traffic, traffic)
    for metric, state in zip(metrics, report.metrics, strict=True):
        assert state.shape == tuple(metric.shape)
        np.testing.assert_array_equal(state, np.asarray(metric.value))
