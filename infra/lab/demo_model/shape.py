"""Shape of the adapter: the layers that it changes, its rank and scale."""

from __future__ import annotations

from typing import Final

ATTENTION: Final = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP: Final = ("gate_proj", "up_proj", "down_proj")
RANK: Final = 16
#: What the adapter's product is multiplied with.
SCALE: Final = 2.0
