"""Muon, an orthogonalised momentum optimiser for matrices, in float32.

After K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024): Nesterov
momentum, then five Newton-Schulz iterations with the quintic coefficients given there.  Matrices of one
shape are done together, which is what makes it quick on a CPU.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

import torch

_COEFFICIENTS: Final = (3.4445, -4.7750, 2.0315)
_ITERATIONS: Final = 5


class Muon(torch.optim.Optimizer):
    """Muon for two-dimensional parameters; learning rate in units of the spectral norm."""

    def __init__(
        self, matrices: Iterable[Any], *, lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        """With the matrices."""
        super().__init__(list(matrices), {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - no closure here
        """One update from the gradients."""
        del closure
        for group in self.param_groups:
            alike: dict[tuple[int, ...], list[tuple[Any, Any, bool]]] = defaultdict(list)
            for matrix in group["params"]:
                kept = self.state[matrix].setdefault("momentum", torch.zeros_like(matrix))
                kept.lerp_(matrix.grad, 1 - group["momentum"])
                update = matrix.grad.lerp(kept, group["momentum"])
                tall = update.shape[0] > update.shape[1]
                update = update.T if tall else update
                alike[tuple(update.shape)].append((matrix, update, tall))
            for some in alike.values():
                for (matrix, _, tall), update in zip(
                    some, _orthogonal(torch.stack([one for _, one, _ in some])), strict=True
                ):
                    scale = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
                    matrix.mul_(1 - group["lr"] * group["weight_decay"])
                    matrix.add_(update.T if tall else update, alpha=-group["lr"] * scale)


def _orthogonal(stack: Any) -> Any:
    """The nearest semi-orthogonal matrices, roughly.

    Each iteration multiplies from the left by a polynomial of the Gram matrix, so only that square
    matrix is iterated: a little more than half the time for matrices that are three times as wide as high.
    """
    a, b, c = _COEFFICIENTS
    x = stack / (stack.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    gram = x @ x.mT
    product = identity = torch.eye(gram.shape[-1])
    for left in reversed(range(_ITERATIONS)):
        factor = a * identity + b * gram + c * gram @ gram
        product = factor @ product
        if left:
            gram = factor @ gram @ factor
    return product @ x
