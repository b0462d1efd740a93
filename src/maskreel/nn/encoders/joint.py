"""Deformable encoder over space and time (TAFormer, section 3.2: STJ-MSDA)."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maskreel.errors import OptionError
from maskreel.nn.encoders.framewise import encoder_inputs
from maskreel.nn.layers.checkpointing import Checkpointed
from maskreel.nn.layers.deformable import DeformableAttention, xavier_matrices
from maskreel.nn.layers.feedforward import FeedForward
from maskreel.nn.layers.fusion import DynamicFusion
from maskreel.nn.layers.neighbours import NeighbourSampling
from maskreel.nn.layers.position import FrameCode, frame_code
from maskreel.structures import ClipMemory, FeatureMap


class JointEncoderLayer(nn.Module):
    """Deformable attention in the own frame and in its neighbours, fused; then feed-forward; post-norm.

    Both attentions read the same values through the same output projection. Without `neighbours` and `fusion` the
    layer keeps to its own frame.
    """

    def __init__(
        self,
        width: int,
        *,
        attention: DeformableAttention,
        neighbours: NeighbourSampling | None,
        fusion: nn.Module | None,
        hidden: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.attention = attention
        self.neighbours = neighbours
        self.fusion = fusion
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)
        self.feedforward = FeedForward(width, hidden, dropout)

    def forward(
        self, memory: ClipMemory, position: Float[Tensor, "b t s c"], reference_points: Float[Tensor, "b t s l 2"]
    ) -> ClipMemory:
        x, sizes = memory.tokens, memory.level_sizes
        query, value = x + position, self.attention.project(memory)
        joint = self.attention.output_proj(self.attention.read(query, reference_points, value, sizes))
        if self.neighbours is not None and self.fusion is not None:
            joint = self.fusion(joint, self._temporal(query, reference_points, value, sizes), memory.is_padding, sizes)
        x = self.norm(x + self.dropout(joint))
        return replace(memory, tokens=self.feedforward(x))

    def _temporal(
        self,
        query: Float[Tensor, "b t s c"],
        reference_points: Float[Tensor, "b t s l 2"],
        value: Float[Tensor, "b _ m d"],
        level_sizes: tuple[tuple[int, int], ...],
    ) -> Float[Tensor, "b t s c"]:
        """What the neighbours say; zero where a frame has none."""
        assert self.neighbours is not None, "asked only with neighbours"
        if self.neighbours.border == "mask" and query.shape[1] == 1:
            return torch.zeros_like(query)
        return self.attention.output_proj(self.neighbours.read(query, reference_points, value, level_sizes))


class JointEncoder(Checkpointed):
    """Encoder of TAFormer. `neighbours` and `fusions` hold one module per layer, or nothing: frames keep to themselves.

    `spatial_levels` are the levels read in the own frame; empty means all. `code` adds the time of a frame to the
    position of its tokens.
    """

    def __init__(
        self,
        width: int,
        *,
        neighbours: Sequence[NeighbourSampling] = (),
        fusions: Sequence[nn.Module] = (),
        num_layers: int = 6,
        num_levels: int = 4,
        hidden: int = 1024,
        num_heads: int = 8,
        num_points: int = 4,
        dropout: float = 0.1,
        spatial_levels: Sequence[int] = (),
        code: FrameCode = "normalised",
    ) -> None:
        super().__init__()
        if {len(neighbours), len(fusions)} not in ({0}, {num_layers}):
            raise OptionError(f"{len(neighbours)} neighbours and {len(fusions)} fusions for {num_layers} layers")
        self.code: FrameCode = code
        self.level_embedding = nn.Parameter(torch.empty(num_levels, width))
        self.layers = nn.ModuleList(
            JointEncoderLayer(
                width,
                attention=DeformableAttention(
                    width, num_levels=num_levels, num_heads=num_heads, num_points=num_points, levels=spatial_levels
                ),
                neighbours=neighbours[index] if neighbours else None,
                fusion=fusions[index] if fusions else None,
                hidden=hidden,
                dropout=dropout,
            )
            for index in range(num_layers)
        )
        xavier_matrices(self)
        for module in self.modules():
            if isinstance(module, NeighbourSampling | DynamicFusion):
                module.reset_parameters()
        nn.init.normal_(self.level_embedding)

    def forward(self, pyramid: Sequence[FeatureMap]) -> ClipMemory:
        memory, position, reference_points = encoder_inputs(pyramid, self.level_embedding)
        if self.code != "none":
            _, t, _, c = position.shape
            position = position + frame_code(t, c, self.code, position.device)[:, None]
        for layer in self.layers:
            memory = self.run(layer, memory, position, reference_points)
        return memory
