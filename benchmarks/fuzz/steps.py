"""A train_step each, to be mixed into a model class. The first line of each says what it does.

They are no models themselves: Keras changes the bases of a class when it is first used for a
functional model.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import ops


class Stepping:
    """Has the parts of a train_step: losses, gradients and metrics."""

    def unpacked(self, data: Any) -> tuple[Any, Any, Any]:
        return keras.utils.unpack_x_y_sample_weight(data)

    def loss_of(self, x: Any, y: Any, weight: Any) -> tuple[Any, Any]:
        y_pred = self(x, training=True)
        return self.compute_loss(x, y, y_pred, weight), y_pred

    def gradients_of(self, x: Any, y: Any, weight: Any) -> tuple[Any, Any, Any]:
        with tf.GradientTape() as tape:
            loss, y_pred = self.loss_of(x, y, weight)
        return loss, y_pred, tape.gradient(loss, self.trainable_variables)

    def logs_of(self, loss: Any, x: Any, y: Any, y_pred: Any, weight: Any) -> Any:
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
        return self.compute_metrics(x, y, y_pred, weight)


class _Taught(Stepping):
    """Has a variable like the last weight."""

    def build_more(self) -> None:
        last = self.trainable_variables[-1]
        self.teacher = self.add_weight(
            shape=last.shape, initializer="zeros", trainable=False, name="teacher"
        )


class Tape(Stepping):
    """A tape, an apply, then the metrics, as in Keras's guide."""

    def train_step(self, data: Any) -> Any:
        x, y, weight = self.unpacked(data)
        with tf.GradientTape() as tape:
            loss, y_pred = self.loss_of(x, y, weight)
            scaled = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return self.logs_of(loss, x, y, y_pred, weight)


class Penalty(Stepping):
    """A penalty on the norm of the gradients, by a tape within a tape."""

    def train_step(self, data: Any) -> Any:
        x, y, weight = self.unpacked(data)
        with tf.GradientTape() as tape:
            with tf.GradientTape() as inner:
                loss, y_pred = self.loss_of(x, y, weight)
            first = inner.gradient(loss, self.trainable_variables[-1])
            total = loss + 0.1 * ops.cast(ops.sum(ops.square(first)), loss.dtype)
        gradients = tape.gradient(total, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        return self.logs_of(loss, x, y, y_pred, weight)


class Teacher(_Taught):
    """A moving average of the last weight, read and written before the apply."""

    def train_step(self, data: Any) -> Any:
        x, y, weight = self.unpacked(data)
        with tf.GradientTape() as tape:
            loss, y_pred = self.loss_of(x, y, weight)
            last = ops.cast(self.trainable_variables[-1], "float32")
            pull = ops.mean(ops.square(last - ops.convert_to_tensor(self.teacher)))
            total = loss + ops.cast(pull, loss.dtype)
        gradients = tape.gradient(total, self.trainable_variables)
        self.teacher.assign(0.5 * self.teacher + 0.5 * last)
        self.optimizer.apply(gradients, self.trainable_variables)
        return {**self.logs_of(loss, x, y, y_pred, weight), "pull": pull}


class TwoOptimizers(Stepping):
    """Two optimizers, each for every second variable, each applied once."""

    def build_more(self) -> None:
        self.second = keras.optimizers.SGD(0.01, momentum=0.9)
        self.second.build(self.trainable_variables[1::2])

    def train_step(self, data: Any) -> Any:
        x, y, weight = self.unpacked(data)
        variables = self.trainable_variables
        loss, y_pred, gradients = self.gradients_of(x, y, weight)
        self.optimizer.apply(gradients[::2], variables[::2])
        self.second.apply(gradients[1::2], variables[1::2])
        return self.logs_of(loss, x, y, y_pred, weight)


class Iterations(Stepping):
    """A loss weight that follows the optimizer's count of updates."""

    def train_step(self, data: Any) -> Any:
        x, y, weight = self.unpacked(data)
        done = ops.cast(self.optimizer.iterations, "float32")
        with tf.GradientTape() as tape:
            loss, y_pred = self.loss_of(x, y, weight)
            total = loss * ops.cast(1.0 / (1.0 + done), loss.dtype)
        gradients = tape.gradient(total, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        return {**self.logs_of(loss, x, y, y_pred, weight), "done": done}


class SetRate(Stepping):
    """A learning rate that the step sets before its apply."""

    def train_step(self, data: Any) -> Any:
        x, y, weight = self.unpacked(data)
        loss, y_pred, gradients = self.gradients_of(x, y, weight)
        done = ops.cast(self.optimizer.iterations, "float32")
        self.optimizer.learning_rate.assign(0.01 / (1.0 + done))
        self.optimizer.apply(gradients, self.trainable_variables)
        return self.logs_of(loss, x, y, y_pred, weight)


class Disjoint(Stepping):
    """Two applies of one optimizer, each for every second variable."""

    def train_step(self, data: Any) -> Any:
        x, y, weight = self.unpacked(data)
        variables = self.trainable_variables
        loss, y_pred, gradients = self.gradients_of(x, y, weight)
        self.optimizer.apply(gradients[::2], variables[::2])
        self.optimizer.apply(gradients[1::2], variables[1::2])
        return self.logs_of(loss, x, y, y_pred, weight)


class Twice(Stepping):
    """Two applies of one optimizer to all variables, by gradients before and after the first."""

    def train_step(self, data: Any) -> Any:
        x, y, weight = self.unpacked(data)
        for _ in range(2):
            loss, y_pred, gradients = self.gradients_of(x, y, weight)
            self.optimizer.apply(gradients, self.trainable_variables)
        return self.logs_of(loss, x, y, y_pred, weight)


class ReadAfter(_Taught):
    """A momentum encoder: an average of the last weight as it is after the apply."""

    def train_step(self, data: Any) -> Any:
        x, y, weight = self.unpacked(data)
        loss, y_pred, gradients = self.gradients_of(x, y, weight)
        self.optimizer.apply(gradients, self.trainable_variables)
        last = ops.cast(self.trainable_variables[-1], "float32")
        self.teacher.assign(0.5 * self.teacher + 0.5 * last)
        logs = self.logs_of(loss, x, y, y_pred, weight)
        return {**logs, "norm": ops.sum(ops.square(last)), "done": self.optimizer.iterations + 0}


class Clipped(Stepping):
    """Weights that are clipped after the apply."""

    def train_step(self, data: Any) -> Any:
        x, y, weight = self.unpacked(data)
        loss, y_pred, gradients = self.gradients_of(x, y, weight)
        self.optimizer.apply(gradients, self.trainable_variables)
        for variable in self.trainable_variables:
            variable.assign(ops.clip(variable, -0.3, 0.3))
        return self.logs_of(loss, x, y, y_pred, weight)


class Sometimes(Stepping):
    """An apply in every second step, within a tf.cond."""

    def build_more(self) -> None:
        self.turn = self.add_weight(
            shape=(), dtype="int32", initializer="zeros", trainable=False, name="turn"
        )

    def train_step(self, data: Any) -> Any:
        x, y, weight = self.unpacked(data)
        loss, y_pred, gradients = self.gradients_of(x, y, weight)
        self.turn.assign_add(1)

        def applied() -> Any:
            self.optimizer.apply(gradients, self.trainable_variables)
            return tf.constant(1)

        now = tf.cond(tf.equal(self.turn % 2, 1), applied, lambda: tf.constant(0))
        return {**self.logs_of(loss, x, y, y_pred, weight), "now": now}


class Sharpness(Stepping):
    """Sharpness-aware minimization: weights moved, a second gradient, weights moved back."""

    def train_step(self, data: Any) -> Any:
        x, y, weight = self.unpacked(data)
        variables = self.trainable_variables
        loss, y_pred, gradients = self.gradients_of(x, y, weight)
        moves = [0.01 * tf.convert_to_tensor(g) for g in gradients]
        for variable, move in zip(variables, moves, strict=True):
            variable.assign_add(ops.cast(move, variable.dtype))
        _, _, gradients = self.gradients_of(x, y, weight)
        for variable, move in zip(variables, moves, strict=True):
            variable.assign_sub(ops.cast(move, variable.dtype))
        self.optimizer.apply(gradients, variables)
        return self.logs_of(loss, x, y, y_pred, weight)
