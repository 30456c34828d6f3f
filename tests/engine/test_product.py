"""Is a product that oneDNN makes the product, and does it cost one copy of the weights?"""

from __future__ import annotations

import pytest
import torch

from infra.engine import product
from infra.engine.product import Packed, Plain

WEIGHT = torch.randn(1030, 260, generator=torch.Generator().manual_seed(1))


on_x86 = pytest.mark.skipif(not Packed.fits(WEIGHT), reason="measured on x86 alone")


@on_x86
@pytest.mark.parametrize("tokens", [1, 2, 16, 17, 32, 99])
def test_it_is_the_product(tokens) -> None:
    hidden, plus = torch.randn(tokens, 260), torch.randn(tokens, 1030)
    made = Packed(WEIGHT)
    for wanted, found in (
        (hidden @ WEIGHT.t(), made(hidden)),
        (hidden @ WEIGHT.t() + plus, made(hidden, plus)),
        (hidden @ WEIGHT.t() + plus[0], made(hidden, plus[0])),
    ):
        assert found.shape == (tokens, 1030)
        assert torch.allclose(found, wanted, atol=1e-3)


def test_only_large_matrices_in_float32_on_a_processor_are_packed() -> None:
    assert not Packed.fits(WEIGHT[:100])
    assert not Packed.fits(WEIGHT.bfloat16())
    assert not Packed.fits(WEIGHT.to("meta"))


def some_layers() -> tuple[list[torch.nn.Linear], torch.Tensor, torch.Tensor]:
    """Two with one input, an input, and what they make of it."""
    layers = [torch.nn.Linear(64, size, bias=False) for size in (96, 32)]
    hidden = torch.randn(3, 64)
    return layers, hidden, torch.cat([layer(hidden) for layer in layers], dim=-1)


def test_layers_share_a_matrix_that_is_not_packed() -> None:
    layers, hidden, wanted = some_layers()
    plain = product.product(*layers)
    assert isinstance(plain, Plain)
    assert {layer.weight.untyped_storage().data_ptr() for layer in layers} == {
        plain.weight.untyped_storage().data_ptr()
    }
    assert torch.allclose(plain(hidden), wanted, atol=1e-5)


@on_x86
def test_layers_give_up_weights_that_are_packed(monkeypatch) -> None:
    monkeypatch.setattr(product, "_LARGE", 1)
    layers, hidden, wanted = some_layers()
    packed = product.product(*layers)
    assert torch.allclose(packed(hidden), wanted, atol=1e-5)
    assert [layer.weight for layer in layers] == [None, None]
