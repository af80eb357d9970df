"""A network as a team might bring its own."""

import torch
from torch import Tensor, nn

from mlops_assets.training.layout import Layout


class Wide(nn.Module):
    def __init__(self, layout: Layout, hidden: int) -> None:
        super().__init__()
        self.numeric = nn.Linear(layout.features, hidden)
        self.categorical = nn.Embedding(layout.rows, hidden)
        self.leave = nn.Linear(hidden, layout.outputs)

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        return self.leave(torch.tanh(self.numeric(numbers) + self.categorical(codes).mean(dim=1)))


class Bag(Wide):
    """Exported as a loop, which no converter of precisions can handle."""

    def __init__(self, layout: Layout, hidden: int) -> None:
        super().__init__(layout, hidden)
        self.bag = nn.EmbeddingBag(layout.rows, hidden)

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        return self.leave(torch.tanh(self.numeric(numbers) + self.bag(codes)))
