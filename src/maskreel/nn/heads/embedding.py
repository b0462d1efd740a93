"""Embeddings by which the same instance is told apart from others across frames (TAFormer, section 3.5)."""

from maskreel.nn.layers.feedforward import Perceptron


class EmbeddingHead(Perceptron):
    """Two linear layers with ReLU between them, on the box queries of every frame."""

    def __init__(self, width: int) -> None:
        super().__init__(width, width, width, num_layers=2)
