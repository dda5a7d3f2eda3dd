"""The codecs of a strategy: `Auto` is replaced by a codec before a model's first step."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable
from typing import Any

import keras

from tfps.step.step import Step, StepSettings
from tfps.training.feed import Feed
from tfps.training.pool import WorkerPool
from tfps.training.profile import profile_step
from tfps.transport.messages import Wire
from tfps.update.asynchronous import Asynchronous
from tfps.wire.auto import Auto, StepProfile, choose_bucket_bytes, choose_pull, choose_push
from tfps.wire.codec import Codec, Identity


class Codecs:
    """The codecs of a strategy; those that are `Auto` are picked once for each model."""

    def __init__(
        self,
        pull: Codec | Auto | None,
        push: Codec | Auto | None,
        num_ps: int,
        bucket_bytes: int | None,
    ) -> None:
        """Take a codec for each direction; None is no codec.

        Raises:
            TypeError: if `pull` or `push` is not a codec, `Auto` or None.
            ValueError: if parameters cannot be pulled with `pull`, or `bucket_bytes` is below 1.
        """
        if bucket_bytes is not None and bucket_bytes < 1:
            raise ValueError(f"bucket_bytes={bucket_bytes!r}: give a number above 0, or None.")
        directions = {"pull": pull, "push": push}
        for name, codec in directions.items():
            if not isinstance(codec, Codec | Auto | None):
                raise TypeError(
                    f'{name}={codec!r}: give a codec, such as tfps.wire.Cast("bfloat16"), '
                    "tfps.wire.Auto() to let tfps pick one, or None."
                )
        self._auto = sorted(name for name, codec in directions.items() if isinstance(codec, Auto))
        self._wire = Wire(
            pull=_fixed(pull), push=_fixed(push), num_ps=num_ps, bucket_bytes=bucket_bytes
        )
        self._picked: weakref.WeakKeyDictionary[keras.Model, Wire] = weakref.WeakKeyDictionary()

    @property
    def plain(self) -> Wire:
        """The wire without codecs, for evaluation and for measurements."""
        return Wire(pull=Identity(), push=Identity(), num_ps=self._wire.num_ps)

    def wire(
        self,
        model: keras.Model,
        step: Callable[[Any], Any],
        feed: Feed,
        workers: WorkerPool,
        settings: StepSettings,
    ) -> Wire:
        """Return the wire for a model's training; measure, pick and print what is `Auto`.

        To be called in the strategy's scope.
        """
        if not self._auto:
            return self._wire
        if model not in self._picked:
            at_once = dataclasses.replace(settings, policy=Asynchronous())
            plain_step = Step(step, feed.element_spec, at_once)
            profile = profile_step(plain_step, feed, workers, self.plain)
            if profile is None:
                return self.plain
            self._picked[model] = self._pick(profile, overlap=settings.overlap)
        return self._picked[model]

    def _pick(self, profile: StepProfile, *, overlap: bool) -> Wire:
        choices = {
            "pull": choose_pull(profile, overlap=overlap),
            "push": choose_push(profile, overlap=overlap),
        }
        for name in self._auto:
            print(choices[name].reason, flush=True)
        picked: dict[str, Any] = {name: choices[name].codec for name in self._auto}
        if self._wire.bucket_bytes is None:
            seconds = max(choices[name].seconds for name in self._auto)
            buckets = choose_bucket_bytes(profile, seconds, self._wire.num_ps)
            if buckets is not None:
                print(
                    f"bucket_bytes={buckets}: they are pushed and pulled at the same time.",
                    flush=True,
                )
            picked["bucket_bytes"] = buckets
        return dataclasses.replace(self._wire, **picked)


def _fixed(codec: Codec | Auto | None) -> Codec:
    """Return the codec; for `Auto`, the one until another is picked."""
    return Identity() if codec is None or isinstance(codec, Auto) else codec
