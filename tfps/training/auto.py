"""pull="auto" and push="auto": codecs that are picked before the first step."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable
from typing import Any, Literal

import keras

from tfps.step.step import Step, StepSettings
from tfps.training.feed import Feed
from tfps.training.lanes import Lanes
from tfps.training.measure import measure
from tfps.transport.messages import Wire
from tfps.update.asynchronous import Asynchronous
from tfps.wire.auto import choose_bucket_bytes, choose_pull, choose_push
from tfps.wire.codec import Codec, Identity

AutoCodec = Codec | Literal["auto"] | None


class Codecs:
    """The codecs that a strategy was given; what is "auto" is picked for each model once."""

    def __init__(
        self, pull: AutoCodec, push: AutoCodec, num_ps: int, bucket_bytes: int | None
    ) -> None:
        """Take a codec for each direction, None for none or "auto" to pick one.

        Raises:
            ValueError: if parameters cannot be pulled with `pull`, a name is not "auto", or
                `bucket_bytes` is below 1.
        """
        if bucket_bytes is not None and bucket_bytes < 1:
            raise ValueError(f"bucket_bytes={bucket_bytes!r}: give a number above 0, or None.")
        for name, codec in (("pull", pull), ("push", push)):
            if isinstance(codec, str) and codec != "auto":
                raise ValueError(
                    f'{name}={codec!r}: give "auto", or a codec such as tfps.wire.Cast("bfloat16").'
                )
        self._auto = {name for name, codec in (("pull", pull), ("push", push)) if codec == "auto"}
        self._wire = Wire(
            pull=_given(pull), push=_given(push), num_ps=num_ps, bucket_bytes=bucket_bytes
        )
        self._picked: weakref.WeakKeyDictionary[keras.Model, Wire] = weakref.WeakKeyDictionary()

    @property
    def plain(self) -> Wire:
        """What travels where nothing is coded: in evaluation, and in what is measured."""
        return Wire(pull=Identity(), push=Identity(), num_ps=self._wire.num_ps)

    def wire(
        self,
        model: keras.Model,
        computation: Callable[[Any], Any],
        feed: Feed,
        lanes: Lanes,
        settings: StepSettings,
    ) -> Wire:
        """Return what travels in a model's training; measure, pick and say so where it is "auto".

        To be called in the strategy's scope.
        """
        if not self._auto:
            return self._wire
        if model not in self._picked:
            at_once = dataclasses.replace(settings, policy=Asynchronous())
            step = Step(computation, feed.element_spec, at_once)
            measured = measure(step, feed, lanes, self.plain)
            if measured is None:
                return self.plain
            choices = {
                "pull": choose_pull(measured, overlap=settings.overlap),
                "push": choose_push(measured, overlap=settings.overlap),
            }
            for name in sorted(self._auto):
                print(choices[name].reason, flush=True)
            picked: dict[str, Any] = {name: choices[name].codec for name in self._auto}
            if self._wire.bucket_bytes is None:
                seconds = max(choices[name].seconds for name in self._auto)
                buckets = choose_bucket_bytes(measured, seconds, self._wire.num_ps)
                if buckets is not None:
                    print(
                        f"bucket_bytes={buckets}: they are pushed and pulled at the same time.",
                        flush=True,
                    )
                picked["bucket_bytes"] = buckets
            self._picked[model] = dataclasses.replace(self._wire, **picked)
        return self._picked[model]


def _given(codec: AutoCodec) -> Codec:
    return Identity() if codec is None or isinstance(codec, str) else codec
