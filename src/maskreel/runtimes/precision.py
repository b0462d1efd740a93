"""Number formats of a network at inference, by the words that options use; torch is not needed to name them."""

from typing import Literal

Precision = Literal["float32", "bf16"]
"""Number format of convolutions and linear layers at inference."""
