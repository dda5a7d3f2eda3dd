"""Which codec a policy chooses, for which parameter and from which step on."""

from __future__ import annotations

import pytest
import tensorflow as tf

from tests.unit.wire import samples
from tfps.wire import (
    ByName,
    BySize,
    Cast,
    Codec,
    CodecPolicy,
    DenseAndRows,
    ErrorFeedback,
    Identity,
    Int8,
    Lossless,
    MomentumCorrection,
    OneBit,
    Parameter,
    PowerSGD,
    TopK,
    Warmup,
)

KERNEL = Parameter.of("encoder/query/kernel", (64, 64))
BIAS = Parameter.of("encoder/query/bias", (4096,))
SMALL = Parameter.of("head/kernel", (8, 2))
TABLE = Parameter.of("embedding/embeddings", (1000, 64), rows=True)


def test_by_size_takes_the_place_of_the_default() -> None:
    assert BySize(Int8()).for_parameter(KERNEL) == Int8()
    assert BySize(Int8()).for_parameter(BIAS) == Identity()
    assert BySize(Int8(), min_rank=1).for_parameter(BIAS) == Int8()
    assert BySize(Int8(), min_elements=16).for_parameter(SMALL) == Int8()
    assert BySize(Int8(), min_elements=17, small=Cast()).for_parameter(SMALL) == Cast()
    assert BySize(Int8(), small=Cast()).for_parameter(TABLE) == Int8()
    assert BySize(TopK(0.1)).for_parameter(TABLE) == Identity()


def test_by_name_takes_the_first_expression_that_is_found() -> None:
    policy = ByName({r"query/.*": Int8(), "kernel$": OneBit()}, otherwise=Cast())
    assert policy.for_parameter(KERNEL) == Int8()
    assert policy.for_parameter(BIAS) == Int8()
    assert policy.for_parameter(SMALL) == OneBit()
    assert policy.for_parameter(TABLE) == Cast()
    assert policy.for_parameter(Parameter.of("norm/gamma", (64,))) == Identity()


def test_by_name_is_a_value() -> None:
    policy = ByName({"kernel": Int8()})
    assert policy == ByName((("kernel", Int8()),))
    assert hash(policy) == hash(ByName({"kernel": Int8()}))
    assert policy != ByName({"kernel": OneBit()})


def test_dense_and_rows() -> None:
    policy = DenseAndRows(dense=TopK(0.1), rows=Int8())
    assert policy.for_parameter(KERNEL) == TopK(0.1)
    assert policy.for_parameter(BIAS) == Identity()
    assert policy.for_parameter(TABLE) == Int8()
    assert DenseAndRows().for_parameter(TABLE) == Identity()


def test_warmup_goes_by_the_step() -> None:
    policy = Warmup([(0, Identity()), (10, Cast()), (20, Int8())])
    assert policy.boundaries == (10, 20)
    steps = [0, 9, 10, 19, 20, 10**9]
    chosen = [policy.for_parameter(KERNEL, step) for step in steps]
    assert chosen == [Identity(), Identity(), Cast(), Cast(), Int8(), Int8()]
    assert policy.for_parameter(BIAS, 30) == Identity()
    assert hash(policy) == hash(Warmup(((0, Identity()), (10, Cast()), (20, Int8()))))


def test_policies_nest_in_policies_and_in_codecs() -> None:
    warmup = Warmup(((0, Int8()), (7, BySize(OneBit(), min_elements=1))))
    policy = ErrorFeedback(
        ByName(
            {"^head": Lossless(Warmup(((0, TopK(0.5)), (5, TopK(0.1)))))},
            otherwise=DenseAndRows(dense=warmup, rows=Warmup(((0, Cast()), (9, Int8())))),
        )
    )
    assert policy.boundaries == (5, 7, 9)
    assert Lossless(policy).boundaries == (5, 7, 9)
    assert policy.for_parameter(SMALL, 4) == Lossless(ErrorFeedback(TopK(0.5)))
    assert policy.for_parameter(SMALL, 5) == Lossless(ErrorFeedback(TopK(0.1)))
    assert policy.for_parameter(KERNEL, 6) == ErrorFeedback(Int8())
    assert policy.for_parameter(KERNEL, 7) == ErrorFeedback(OneBit())
    assert policy.for_parameter(BIAS, 7) == Identity()
    assert policy.for_parameter(TABLE, 8) == Cast()
    assert policy.for_parameter(TABLE, 9) == Int8()
    moving = MomentumCorrection(BySize(TopK(0.1)), 0.5)
    assert moving.for_parameter(KERNEL) == MomentumCorrection(TopK(0.1), 0.5)
    assert moving.for_parameter(BIAS) == MomentumCorrection(Identity(), 0.5)


def test_a_feedback_that_a_policy_chooses_inside_another_is_refused() -> None:
    policy = ErrorFeedback(BySize(ErrorFeedback(OneBit())))
    with pytest.raises(ValueError, match="which itself keeps what it does not send"):
        policy.for_parameter(KERNEL)


@pytest.mark.parametrize(
    ("policy", "pulls", "rows"),
    [
        (BySize(Cast()), True, True),
        (BySize(Int8(), small=OneBit()), False, False),
        (ByName({"kernel": Int8()}), True, True),
        (ByName({"kernel": Int8()}, otherwise=TopK(0.1)), False, False),
        (DenseAndRows(dense=PowerSGD(), rows=Cast()), False, True),
        (Warmup(((0, Identity()), (5, Lossless(Cast())))), True, True),
    ],
    ids=str,
)
def test_a_policy_suits_what_all_its_choices_suit(policy: Codec, pulls: bool, rows: bool) -> None:
    assert (policy.codes_pulls, policy.codes_rows) == (pulls, rows)
    assert Lossless(policy).codes_pulls == pulls


@pytest.mark.parametrize(
    "policy",
    [BySize(Int8()), ByName({}), DenseAndRows(), Warmup(((0, Int8()),)), Lossless(BySize(Int8()))],
    ids=str,
)
def test_policies_do_not_encode(policy: CodecPolicy) -> None:
    with pytest.raises(TypeError, match="is a policy, which only chooses"):
        policy.encode([tf.zeros([3])], seed=samples.SEED)
    with pytest.raises(TypeError, match="is a policy, which only chooses"):
        policy.decode([tf.zeros([3])], [(3,)], tf.float32)
    with pytest.raises(TypeError, match="is a policy, which only chooses"):
        policy.initial_state([(3,)])


def test_values_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="BySize: min_elements is -1; it is an int, at least 0"):
        BySize(Int8(), min_elements=-1)
    with pytest.raises(ValueError, match=r"BySize: min_rank is 1\.5"):
        BySize(Int8(), min_rank=1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"ByName: '\(' is not a regular expression: missing"):
        ByName({"(": Int8()})
    with pytest.raises(ValueError, match=r"rows is TopK\(.*, which does not suit rows"):
        DenseAndRows(rows=TopK(0.1))


@pytest.mark.parametrize("starts", [[], [1], [0, 5, 5], [0, 9, 5], [0, 1.5], [-1, 5]], ids=str)
def test_stages_begin_at_0_and_rise(starts: list[int]) -> None:
    with pytest.raises(ValueError, match="Warmup: the stages begin at the steps"):
        Warmup(tuple((start, Int8()) for start in starts))
