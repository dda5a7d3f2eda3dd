"""A contender: PyTorch's DistributedDataParallel on gloo, one of two processes of one thread.

`contenders.py` starts both. A step of each of them learns from one batch, as a worker's does.
"""

# DistributedDataParallel compares a hook's annotations with its own classes, so none is a string.

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Literal, NoReturn

import numpy as np
import torch
import tyro
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks, powerSGD_hook

from benchmarks.compare import cases, protocol
from benchmarks.compare.cases import Case, Chosen
from benchmarks.encoder import HEADS, LAYERS, SEQUENCE, VOCABULARY, WIDTH

WORLD = 2
POWER_SGD_RANK = 4
_ONE_BUCKET_MB = 1 << 14


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(Chosen):
    """Train with PyTorch, one turn at a time.

    Attributes:
        rank: Which of the two processes this is.
        host: Where the first one listens for the other.
        port: At which of its ports.
        hook: How gradients are averaged: as they are, cast to bfloat16, or by PowerSGD of rank 4.
    """

    rank: int
    host: str = "127.0.0.1"
    port: int
    hook: Literal["plain", "bf16", "powersgd"] = "plain"


class Encoder(nn.Module):
    """The reference encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(VOCABULARY, WIDTH)
        self.positions = nn.Parameter(0.02 * torch.randn(SEQUENCE, WIDTH))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, dropout=0.0, batch_first=True)
            for _ in range(LAYERS)
        )
        self.last = nn.Linear(WIDTH, 2)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        hidden = self.table(ids) + self.positions
        for layer in self.layers:
            hidden = layer(hidden)
        return self.last(hidden.mean(dim=1))


class Recommender(nn.Module):
    """The recommender; its table has sparse gradients."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.table = nn.Embedding(rows, cases.ROW_WIDTH, sparse=True)
        wide, narrow = cases.HIDDEN
        self.dense = nn.Sequential(
            nn.Flatten(),
            nn.Linear(cases.COLUMNS * cases.ROW_WIDTH, wide),
            nn.ReLU(),
            nn.Linear(wide, narrow),
            nn.ReLU(),
            nn.Linear(narrow, 1),
        )

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.dense(self.table(ids))


def main() -> NoReturn:
    """Train."""
    arguments = tyro.cli(Arguments)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"tcp://{arguments.host}:{arguments.port}",
        rank=arguments.rank,
        world_size=WORLD,
    )
    model, optimizer, loss_of = make(arguments)
    parameters = sum(p.numel() for p in model.parameters())
    # PowerSGD talks again for each bucket when it hears; on gloo two buckets would mix that up.
    bucket_mb = _ONE_BUCKET_MB if arguments.hook == "powersgd" else None
    model = nn.parallel.DistributedDataParallel(model, bucket_cap_mb=bucket_mb)
    register(model, arguments.hook)
    batches = shuffled(arguments.case, arguments.rank)
    steps = arguments.steps // WORLD

    def run() -> float:
        total = torch.zeros(())
        for _ in range(steps):
            inputs, targets = next(batches)
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(model(inputs), targets)
            loss.backward()
            optimizer.step()
            total += loss.detach()
        return float(total) / steps  # The mean of the turn, as Keras's logs have it.

    protocol.take_turns(parameters=parameters, steps=steps, run=run)


def make(arguments: Arguments) -> tuple[nn.Module, Any, Callable[..., torch.Tensor]]:
    """Return the model, its optimizer and its loss, with the settings of Keras's."""
    if arguments.model == "encoder":
        model: nn.Module = Encoder()
        adam = torch.optim.Adam(model.parameters(), cases.ENCODER_RATE, eps=1e-7)
        return model, adam, lambda outputs, y: nn.functional.cross_entropy(outputs, y[:, 0])
    if arguments.model == "recommender":
        model = Recommender(arguments.rows)
        adagrad = torch.optim.Adagrad(
            model.parameters(), cases.RECOMMENDER_RATE, initial_accumulator_value=0.1, eps=1e-7
        )
        return model, adagrad, nn.functional.binary_cross_entropy_with_logits
    model = nn.Linear(cases.FEATURES, 1)
    sgd = torch.optim.SGD(model.parameters(), cases.LINEAR_RATE)
    return model, sgd, nn.functional.mse_loss


def register(model: nn.parallel.DistributedDataParallel, hook: str) -> None:
    """Let the hook average the gradients."""
    if hook == "bf16":
        model.register_comm_hook(None, average_in_bfloat16)
    elif hook == "powersgd":
        # It refuses to compress from the first step on.
        state = powerSGD_hook.PowerSGDState(
            None, matrix_approximation_rank=POWER_SGD_RANK, start_powerSGD_iter=2
        )
        model.register_comm_hook(state, powerSGD_hook.powerSGD_hook)


def average_in_bfloat16(
    group: Any, bucket: torch.distributed.GradBucket
) -> torch.futures.Future[torch.Tensor]:
    """Average a bucket of gradients by PyTorch's own hook, which does work on gloo.

    Under its own name DistributedDataParallel takes it with NCCL only.
    """
    return default_hooks.bf16_compress_hook(group, bucket)


def shuffled(case: Case, rank: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the batches again and again, in an order of this process's own."""
    random = np.random.default_rng(rank)
    inputs, targets = (torch.from_numpy(array) for array in case.batches())
    if not targets.is_floating_point():
        targets = targets.long()
    while True:
        for number in random.permutation(len(inputs)):
            yield inputs[number], targets[number]


if __name__ == "__main__":
    main()
