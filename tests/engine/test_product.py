"""Is a product that oneDNN makes the product, and does it cost one copy of the weights?"""

from __future__ import annotations

import pytest
import torch

from infra.engine import product
from infra.engine.product import Packed, Plain

WEIGHT = torch.randn(1030, 260, generator=torch.Generator().manual_seed(1))


@pytest.mark.skipif(not Packed.fits(WEIGHT), reason="measured on x86 alone")
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


def test_layers_give_up_weights_that_are_packed_and_share_those_that_are_not(monkeypatch) -> None:
    layers = [torch.nn.Linear(64, size, bias=False) for size in (96, 32)]
    hidden = torch.randn(3, 64)
    wanted = torch.cat([layer(hidden) for layer in layers], dim=-1)
    plain = product.product(*layers)
    assert isinstance(plain, Plain)
    assert {layer.weight.untyped_storage().data_ptr() for layer in layers} == {
        plain.weight.untyped_storage().data_ptr()
    }
    monkeypatch.setattr(product, "_LARGE", 1)
    if Packed.fits(layers[0].weight):
        packed = product.product(*layers)
        assert torch.allclose(packed(hidden), wanted, atol=1e-5)
        assert [layer.weight for layer in layers] == [None, None]
    assert torch.allclose(plain(hidden), wanted, atol=1e-5)
