"""Packs on their way to the device and vectors on their way back, without a wait in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from peakatlas.engine.forward.plan import PackPlan


class Fetched(Protocol):
    """Vectors that are, or will be, on the host."""

    def numpy(self) -> NDArray[np.float32]:
        """The vectors, shape (n, dim); waits until they are there."""


class Transfer(Protocol):
    """How plans reach a device and results leave it."""

    def stage(self, plan: PackPlan) -> PackPlan:
        """Make a plan ready to be sent, on the host."""

    def send(self, plan: PackPlan) -> PackPlan:
        """A staged plan on the device; what is launched next waits for it there."""

    def fetch(self, values: Tensor) -> Fetched:
        """Begin to bring vectors to the host."""


@dataclass(frozen=True)
class OnHost:
    """Vectors that were computed on the host."""

    values: Tensor

    def numpy(self) -> NDArray[np.float32]:
        """The vectors."""
        found: NDArray[np.float32] = self.values.numpy()
        return found


class HostTransfer:
    """Nothing to move: the device is the host."""

    def stage(self, plan: PackPlan) -> PackPlan:
        """The plan itself."""
        return plan

    def send(self, plan: PackPlan) -> PackPlan:
        """The plan itself."""
        return plan

    def fetch(self, values: Tensor) -> Fetched:
        """The vectors themselves."""
        return OnHost(values)


@dataclass(frozen=True)
class InFlight:
    """Vectors on their way into pinned memory, and the event after which they are there."""

    values: Tensor
    event: Any

    def numpy(self) -> NDArray[np.float32]:
        """The vectors; waits for the event, in whichever thread asks."""
        self.event.synchronize()
        found: NDArray[np.float32] = self.values.numpy()
        return found


class StreamTransfer:
    """Copies on a stream of their own, from and to pinned memory.

    Parameters
    ----------
    device : torch.device
    cuda : module, optional
        What makes streams and events; `torch.cuda`.
    """

    def __init__(self, device: torch.device, cuda: Any = torch.cuda) -> None:  # noqa: ANN401
        self._device, self._cuda = device, cuda
        self._copies = cuda.Stream(device)

    def stage(self, plan: PackPlan) -> PackPlan:
        """Pin the plan's tensors, so that the copy need not wait."""
        return plan.map(lambda tensor: tensor.pin_memory())

    def send(self, plan: PackPlan) -> PackPlan:
        """Copy on the copy stream; the current stream waits for it, the host does not."""
        current = self._cuda.current_stream(self._device)
        with self._cuda.stream(self._copies):
            sent = plan.map(lambda tensor: tensor.to(self._device, non_blocking=True))
        current.wait_stream(self._copies)
        # the allocator must not hand these out again while the current stream reads them
        sent.map(lambda tensor: self._kept(tensor, current))
        return sent

    def fetch(self, values: Tensor) -> Fetched:
        """Copy into pinned memory behind what computes the vectors, and note when it is done."""
        host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
        host.copy_(values, non_blocking=True)
        event = self._cuda.Event(blocking=True)  # who waits sleeps: the core is needed elsewhere
        event.record(self._cuda.current_stream(self._device))
        return InFlight(host, event)

    def _kept(self, tensor: Tensor, stream: Any) -> Tensor:  # noqa: ANN401
        tensor.record_stream(stream)
        return tensor


def transfer_of(device: torch.device) -> Transfer:
    """How to move packs to and from a device."""
    return StreamTransfer(device) if device.type == "cuda" else HostTransfer()
