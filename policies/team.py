"""The processes that train together: one, or several that torchrun or accelerate has started, each with a part of every batch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, nn

from policies.errors import PolicyError

PATIENCE = timedelta(hours=2)
"""How long a process waits for another, which may be making the cache or trying the policy; one that dies ends the others at once."""


class Team:
    """Who trains. Alone, every method gives back what it is given.

    Args:
        device: of this process.
        accelerator: of accelerate, which has joined the processes; None: there is one.
        sharded: whether each process holds a part of the weights (FSDP), or all of them.
    """

    def __init__(self, device: torch.device, accelerator: Any = None, sharded: bool = False) -> None:
        self.device, self.sharded = device, sharded and accelerator is not None
        self._accelerator = accelerator
        self.rank = 0 if accelerator is None else int(accelerator.process_index)
        self.world = 1 if accelerator is None else int(accelerator.num_processes)

    @property
    def main(self) -> bool:
        """Whether this process is the one that writes, logs and speaks."""
        return self.rank == 0

    def shard(self, module: nn.Module, layers: Iterable[nn.Module], *methods: str) -> None:
        """Leaves each process its part of a module's weights, if they are to be shared out: `layers` inside one by one, then the rest.

        They come together while `forward` or one of the `methods` runs.
        """
        if not self.sharded:
            return
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

        mesh = init_device_mesh(self.device.type, (self.world,))
        for piece in (*layers, module):
            fully_shard(piece, mesh=mesh, reshard_after_forward=True)  # or an average would be used as it was the last time
        for name in methods:
            register_fsdp_forward_method(module, name)

    def join(self, module: nn.Module) -> nn.Module:
        """The module, whose gradients become the mean over the processes; a sharded one does that by itself."""
        return module if self._accelerator is None or self.sharded else self._accelerator.prepare_model(module)

    def apart(self, joined: nn.Module, sharded: nn.Module, apart: bool) -> Any:
        """A context in which gradients are added up in each process by itself, where `apart` says so."""
        if self._accelerator is None or not apart:
            return nullcontext()
        return _unsynchronised(sharded) if self.sharded else self._accelerator.no_sync(joined)

    def sum(self, values: Tensor) -> Tensor:
        """The sum over the processes."""
        return values if self._accelerator is None else self._accelerator.reduce(values, reduction="sum")

    def first(self, value: float) -> float:
        """The value of the main process, for all."""
        if self._accelerator is None:
            return value
        return self.sum(torch.tensor([value if self.main else 0.0], dtype=torch.float64, device=self.device)).item()

    def turns(self) -> Any:
        """A context that one process of each machine enters first, the others when it is done."""
        return nullcontext() if self._accelerator is None else self._accelerator.local_main_process_first()


@contextmanager
def open_team(device: torch.device, fsdp: bool = False) -> Iterator[Team]:
    """The team that this process was started in: several where torchrun or accelerate says so. Raises PolicyError."""
    if launched() == 1:
        yield Team(device)
        return
    from accelerate import Accelerator
    from accelerate.utils import InitProcessGroupKwargs

    sharded = fsdp or os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true"
    handlers: list[Any] = [InitProcessGroupKwargs(timeout=PATIENCE)]
    try:  # bfloat16 is our own precision=, whatever the launcher's configuration says
        accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision="no", kwargs_handlers=handlers)
    except (RuntimeError, ValueError, ImportError) as error:
        raise PolicyError(f"the {launched()} processes do not find each other: {str(error).splitlines()[0]}") from error
    try:
        yield Team(accelerator.device, accelerator, sharded)
    finally:
        accelerator.end_training()


def launched(where: str = "WORLD_SIZE") -> int:
    """How many processes a launcher has started, in all or (LOCAL_WORLD_SIZE) on this machine."""
    return int(os.environ.get(where) or 1)


def gathered(tensor: Tensor) -> Tensor:
    """A tensor in whole; every process has to ask where its parts are shared out."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue]


def laid_like(tensor: Tensor, like: Tensor) -> Tensor:
    """A whole tensor on the device of another, or this process's part of it where that one is shared out."""
    if not hasattr(like, "full_tensor"):
        return tensor.to(like.device)
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


@contextmanager
def _unsynchronised(module: Any) -> Iterator[None]:
    module.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        module.set_requires_gradient_sync(True)
