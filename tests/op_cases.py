"""Random inputs for the reallocation ops, as the oracle's lists and as tensors and masks."""

import copy
import random

import torch
from canaries import Canaries
from modes import scaled
from oracle import Layer

from dsr_kernels import BitMask, LayerShape, SparseLayout

DTYPES = (torch.float32, torch.float32, torch.bfloat16, torch.float16)
SPECIAL = (0.0, -0.0, 1e-45, -1e-40, 1e-38, -3e38, 3e38, float("inf"), float("-inf"))
NAN = float("nan")
SEEDS = 500  # random cases a test runs


def seeds(block):
    """The seeds of the random cases in one of a test's blocks."""
    return range(block * SEEDS, block * SEEDS + scaled(SEEDS))


class Case:
    """One random net: the oracle's ``layers`` and the same as ``tensors`` and ``mask``.

    All tensors lie between ``canaries``.
    """

    def __init__(self, seed, device):
        self.rng = random.Random(seed)
        self.device = device
        self.canaries = Canaries()
        self.dtype = self.rng.choice(DTYPES)
        shapes = [self._shape() for _ in range(self.rng.randint(0 if seed % 50 == 0 else 1, 4))]
        self.layout = SparseLayout(tuple(LayerShape(*shape) for shape in shapes))
        kind = self.rng.choice(("normal", "normal", "ties", "special", "zeros"))
        self.layers = [self._layer(shape, kind) for shape in shapes]

    def _shape(self):
        rng = self.rng
        if rng.random() < 0.7:
            return (rng.choice((0, 1, 2, 3, 31, 32, 33, 130, *(rng.randint(3, 60),) * 6)), 1, 1)
        size = rng.choice((1, 2, 3, 9, 31, 32, 33, 65, 70))
        return (rng.randint(0, 5), size, rng.choice((1, 1, 2, 3)))

    def _value(self, kind):
        rng = self.rng
        if kind == "normal":
            return rng.gauss(0, 1)
        if kind == "ties":
            return rng.choice((0.0, -0.0, 0.5, -0.5, 1.0, -1.0))
        if kind == "special":
            return rng.choice((*SPECIAL, NAN, rng.gauss(0, 1), rng.gauss(0, 1)))
        return 0.0

    def _layer(self, shape, kind):
        outer, size, inner = shape
        values = [self._value(kind) for _ in range(outer * size * inner)]
        return Layer(shape, self._rounded(values), self.random_bits(outer * inner))

    def _rounded(self, values):
        return torch.tensor(values, dtype=torch.float64).to(self.dtype).tolist()

    def random_bits(self, units):
        chance = self.rng.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        bits = [self.rng.random() < chance for _ in range(units)]
        if units and self.rng.random() < 0.1:  # one free place
            bits = [True] * units
            bits[self.rng.randrange(units)] = False
        return bits

    def later_bits(self):
        """Bits after a pruning: some of the active ones gone."""
        chance = self.rng.choice((0.0, 0.2, 0.8, 1.0))
        return [[bit and self.rng.random() > chance for bit in layer.bits] for layer in self.layers]

    def tensors(self):
        return [self._tensor(layer.values) for layer in self.layers]

    def _tensor(self, values):
        """Some are transposed, so that their memory order is not their logical order."""
        tensor = torch.tensor(values, dtype=torch.float64).to(self.dtype).to(self.device)
        tensor = self.canaries.around(tensor)
        if len(values) % 2 == 0 and self.rng.random() < 0.3:
            return tensor.view(2, -1).t() if values else tensor
        return tensor

    def mask(self, bits=None):
        bits = [layer.bits for layer in self.layers] if bits is None else bits
        rows = [torch.tensor(row, dtype=torch.bool) for row in bits]
        words = BitMask.from_bools(self.layout, rows).words.to(self.device)
        return BitMask(self.layout, self.canaries.around(words, aligned=True))

    def counts(self, per_layer=True):
        """How many to select: none, a few, all, too many, less than none."""
        sizes = [len(layer.bits) for layer in self.layers]
        if not per_layer:
            sizes = [sum(sizes)]
        return [
            self.rng.choice(
                (0, 1, self.rng.randint(0, n + 1), self.rng.randint(0, n + 1), n + 7, -3)
            )
            for n in sizes
        ]

    def copy_layers(self):
        return copy.deepcopy(self.layers)

    def int64(self, values):
        return torch.tensor(values, dtype=torch.int64, device=self.device)


def bits_of(mask):
    return [row.tolist() for row in mask.to("cpu").to_bools()]


def same_values(tensors, layers):
    """Whether the tensors hold the oracle's values bit for bit, in memory order."""
    for tensor, layer in zip(tensors, layers, strict=True):
        expected = torch.tensor(layer.values, dtype=torch.float64).to(tensor.dtype)
        stored = tensor.as_strided((tensor.numel(),), (1,)).cpu()
        if not torch.equal(stored.view(torch.int16), expected.view(torch.int16)):
            return False
    return True


def lists(outputs):
    return [output.tolist() for output in outputs]


def padding_is_zero(mask):
    """Whether no bit is set outside the units of the layers."""
    return int(mask.counts().sum()) == sum(sum(row) for row in bits_of(mask))
