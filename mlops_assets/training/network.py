"""The network: an encoder of numbers, a body, and a head that turns outputs into answers.

A body of one's own is named by dotted path in `network.type`. Its contract: it is constructed as
`Body(layout, **network.options)` and called as `body(numbers, codes)` with the encoded numbers, float32 [n,
layout.features], and the rows of the embedding table, int64 [n, C] (each below `layout.rows`); it returns
logits [n, layout.outputs]. It must be exportable to ONNX: tensor operations only, any batch size.
"""

import importlib

import torch
from torch import Tensor, nn

from mlops_assets.declaration.data import Kind
from mlops_assets.declaration.training import NetworkSpec
from mlops_assets.training.layout import MISSING_ROW, UNKNOWN_ROW, Layout

TABULAR = "tabular"
HIDDEN = 0.01  # share of inputs hidden in training, so that "missing" and "unknown" mean something in every column
_FURTHEST = 5.0  # the linear part of a number saturates here; the bins go on to the last edge


class Encoder(nn.Module):
    """Numbers [n, K] in double → features [n, F]: place in its bins, scaled value, is it missing.

    Everything saturates at the first and last edge seen in training, so extremes and ±inf are harmless.
    """

    centre: Tensor
    scale: Tensor
    lower: Tensor
    upper: Tensor
    column: Tensor
    left: Tensor
    slope: Tensor

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        columns = layout.numbers
        self._buffer("centre", [c.centre for c in columns], torch.float64)
        self._buffer("scale", [c.scale for c in columns], torch.float64)
        self._buffer("lower", [c.edges[0] for c in columns])
        self._buffer("upper", [c.edges[-1] for c in columns])
        self._buffer("column", [i for i, c in enumerate(columns) for _ in c.edges[1:]], torch.int64)
        self._buffer("left", [edge for c in columns for edge in c.edges[:-1]])
        slopes = [1 / (b - a) for c in columns for a, b in zip(c.edges, c.edges[1:], strict=False)]
        self._buffer("slope", slopes)

    def _buffer(self, name: str, values: list, dtype: torch.dtype = torch.float32) -> None:
        self.register_buffer(name, torch.tensor(values, dtype=dtype), persistent=False)

    def forward(self, numbers: Tensor) -> Tensor:
        z = ((numbers - self.centre) / self.scale).float()
        missing = torch.isnan(z)
        z = torch.where(missing, torch.zeros_like(z), z)
        z = torch.minimum(torch.maximum(z, self.lower), self.upper)
        place = ((z[:, self.column] - self.left) * self.slope).clamp(0, 1)
        return torch.cat([place, z.clamp(-_FURTHEST, _FURTHEST), missing.float()], dim=1)


class Block(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, width)
        self.down = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(self.dropout(torch.relu(self.up(self.norm(x)))))


class TabularNetwork(nn.Module):
    """Embeddings beside encoded numbers, then a residual perceptron."""

    def __init__(self, layout: Layout, *, width: int, depth: int, dropout: float, embedding: int) -> None:
        super().__init__()
        self.numeric, self.categorical = bool(layout.numbers), bool(layout.categories)
        self.embedding = nn.Embedding(max(layout.rows, 1), embedding)
        nn.init.normal_(self.embedding.weight, std=0.3)
        self.enter = nn.Linear(layout.features + embedding * len(layout.categories), width)
        self.blocks = nn.Sequential(*(Block(width, dropout) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, layout.outputs)

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        parts = [numbers] if self.numeric else []
        if self.categorical:
            parts.append(self.embedding(codes).flatten(1))
        x = self.blocks(self.enter(torch.cat(parts, dim=1)))
        return self.leave(torch.relu(self.norm(x)))


class Model(nn.Module):
    """Inputs → logits (`forward`) → answers (`answer`): probabilities or values."""

    offsets: Tensor
    prior: Tensor
    slope: Tensor
    bias: Tensor

    def __init__(self, layout: Layout, network: nn.Module) -> None:
        super().__init__()
        self.layout = layout
        self.encoder = Encoder(layout)
        self.network = network
        offsets = torch.tensor(layout.offsets, dtype=torch.int64)
        self.register_buffer("offsets", offsets, persistent=False)
        self.register_buffer("prior", torch.tensor(layout.prior, dtype=torch.float32), persistent=False)
        self.register_buffer("slope", torch.ones(()))
        self.register_buffer("bias", torch.zeros(layout.outputs))

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        if self.training:
            numbers, codes = self._hide(numbers, codes)
        return self.network(self.encoder(numbers), codes).float() + self.prior

    def answer(self, logits: Tensor) -> Tensor:
        """Calibrated probability [n], probabilities [n, k], or value [n]."""
        target = self.layout.target
        if self.layout.kind is Kind.REGRESSION:
            value = (logits.squeeze(1) * target.scale + target.centre).clamp(target.lower, target.upper)
            return torch.expm1(value) if target.transform == "log1p" else value
        calibrated = logits * self.slope + self.bias
        if self.layout.kind is Kind.BINARY:
            return torch.sigmoid(calibrated).squeeze(1)
        return torch.softmax(calibrated, dim=1)

    def _hide(self, numbers: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        chance = torch.rand(numbers.shape, device=numbers.device)
        numbers = numbers.masked_fill(chance < HIDDEN, float("nan"))
        chance = torch.rand(codes.shape, device=codes.device)
        codes = torch.where(chance < HIDDEN, self.offsets + UNKNOWN_ROW, codes)
        return numbers, torch.where(chance > 1 - HIDDEN, self.offsets + MISSING_ROW, codes)


def build(layout: Layout, spec: NetworkSpec) -> Model:
    """The model a spec describes, with random weights from torch's generator."""
    if spec.type == TABULAR:
        network: nn.Module = TabularNetwork(
            layout, width=spec.width, depth=spec.depth, dropout=spec.dropout, embedding=spec.embedding
        )
    else:
        network = _made(find_class(spec.type), layout, spec)
    return Model(layout, network)


def _made(kind: type[nn.Module], layout: Layout, spec: NetworkSpec) -> nn.Module:
    try:
        return kind(layout, **spec.options)
    except TypeError as err:
        given = ", ".join(sorted(spec.options)) or "none"
        raise TypeError(f"network.type {spec.type!r} cannot be made with network.options ({given}): {err}") from err


def find_class(name: str) -> type[nn.Module]:
    """The class of one's own that a dotted path names."""
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as err:
        raise ValueError(
            f"network.type {name!r} is neither {TABULAR!r} nor the dotted name of an importable class: {err}"
        ) from err
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise TypeError(f"network.type {name!r} is not a class derived from torch.nn.Module")
    return found
