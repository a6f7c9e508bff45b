"""What a forward pass asks of a device: kernels it launches, values it reads back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

READS = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select")
_NO_KERNEL = ("view", "_unsafe_view", "reshape", "transpose", "t", "slice", "select", "split",
              "split_with_sizes", "unsqueeze", "squeeze", "expand", "permute", "detach", "alias",
              "as_strided", "empty", "empty_like", "new_empty", "lift_fresh", "unbind",
              "chunk")  # fmt: skip


class OpCounts(TorchDispatchMode):
    """Counts kernels and reads of a device while it is active."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels: Counter[str] = Counter()

    @property
    def n_kernels(self) -> int:
        """Kernels launched."""
        return sum(self.kernels.values())

    @property
    def n_reads(self) -> int:
        """Operations that make the host wait for a value."""
        return sum(self.kernels[name] for name in READS)

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 (the signature of the base class)
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Count an operation and run it."""
        name = func.overloadpacket.__name__
        by_mask = name in ("index", "index_put", "index_put_") and any(
            isinstance(index, torch.Tensor) and index.dtype == torch.bool for index in args[1]
        )
        if name not in _NO_KERNEL:
            self.kernels["nonzero" if by_mask else name] += 1
        return func(*args, **(kwargs or {}))

    def fuse(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        """A function that counts as one kernel, as `torch.compile` makes one of it."""

        def fused(*values: Any) -> Any:  # noqa: ANN401 (those of the function)
            self.kernels[plain.__name__] += 1
            with _disable_current_modes():
                return plain(*values)

        return fused
