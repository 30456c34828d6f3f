"""Fast product of a few tokens with a weight matrix.

A step multiplies one to some hundred tokens with every matrix of the model.  On a CPU the time depends
on how the matrix lies in memory, and not the same way for all sizes; what is here was measured with
``understudy bench engine`` and for each product alone (docs/adr/0010-packed-products.md).
"""

from __future__ import annotations

import platform
from typing import Any, Final, Protocol

import torch
from torch import Tensor
from torch.nn import functional

#: Matrix elements from which oneDNN's layout is faster: below, its call overhead dominates.
_LARGE: Final = 2**18
#: oneDNN caches a kernel per number of tokens; larger numbers are rounded up to multiples of it.
_KERNELS: Final = 16


class Product(Protocol):
    """One matrix, ``[in, out]``."""

    def __call__(self, hidden: Tensor, plus: Tensor | None = None) -> Tensor:
        """``hidden @ matrix + plus``, ``[tokens, out]``."""
        ...


class Plain:
    """torch's own product; implements :class:`Product`.

    Args:
        weight: ``[out, in]``; may be copied to the transposed layout.
    """

    def __init__(self, weight: Tensor) -> None:
        if weight.device.type == "cpu" and weight.shape[0] >= weight.shape[1]:
            # A few rows times a matrix that widens: 1.2 to 2.6 times as fast in this layout.
            weight = weight.t().contiguous().t()
        #: ``[out, in]``.
        self.weight = weight

    def __call__(self, hidden: Tensor, plus: Tensor | None = None) -> Tensor:
        """``hidden @ matrix + plus``, ``[tokens, out]``."""
        return hidden @ self.weight.t() if plus is None else torch.addmm(plus, hidden, self.weight.t())


class Packed:
    """oneDNN's product with a matrix in a layout of its own; implements :class:`Product`.

    Args:
        weight: ``[out, in]``; not needed afterwards.
    """

    def __init__(self, weight: Tensor) -> None:
        # The operator that torch's compiler uses for linear layers; it has no public name.
        self._weight: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, _KERNELS)  # noqa: SLF001
        self._product: Any = torch.ops.mkldnn._linear_pointwise.default  # noqa: SLF001

    @staticmethod
    def fits(weight: Tensor) -> bool:
        """Whether packing pays off; measured only on x86 in float32."""
        return (
            weight.device.type == "cpu"
            and weight.dtype == torch.float32
            and weight.numel() >= _LARGE
            and platform.machine() in {"x86_64", "AMD64"}
            and torch.backends.mkldnn.is_available()
        )

    def __call__(self, hidden: Tensor, plus: Tensor | None = None) -> Tensor:
        """``hidden @ matrix + plus``, ``[tokens, out]``."""
        tokens = hidden.shape[0]
        missing = -tokens % _KERNELS if tokens > _KERNELS else 0
        if missing:
            hidden = functional.pad(hidden, (0, 0, 0, missing))
        made: Tensor = self._product(hidden, self._weight, None, "none", [], "")[:tokens]
        return made if plus is None else made.add_(plus)


def product(*modules: Any) -> Product:
    """One product for linear layers with the same input.

    The layers keep their weights as parts of its matrix, or have none any more if it is packed.

    Args:
        modules: ``torch.nn.Linear``; biases are left to the caller.
    """
    weights = [module.weight.data for module in modules]
    weight = torch.cat(weights) if len(weights) > 1 else weights[0]
    if Packed.fits(weight):
        for module in modules:
            module.register_parameter("weight", None)
        return Packed(weight)
    made = Plain(weight)
    for module, part in zip(modules, made.weight.split([part.shape[0] for part in weights]), strict=True):
        module.weight.data = part
    return made
