"""Wide residual networks for 32 x 32 images (Zagoruyko and Komodakis, 2016)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from dsr.models.parts import check_sizes, draw_weights, widened

FIRST_CHANNELS = 16
GROUP_CHANNELS = (16, 32, 64)
GROUP_STRIDES = (1, 2, 2)


class WideBlock(nn.Module):
    """BN, ReLU, conv 3x3, BN, ReLU, dropout, conv 3x3, added to the input or to its 1x1 shortcut.

    Where the shape changes, the shortcut convolution reads the output of the first ReLU.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = (
            None
            if inputs == outputs and stride == 1
            else nn.Conv2d(inputs, outputs, 1, stride, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map [rows, inputs, h, w] to [rows, outputs, h / stride, w / stride]."""
        hidden = self.relu(self.bn1(x))
        kept = x if self.shortcut is None else self.shortcut(hidden)
        hidden = self.relu(self.bn2(self.conv1(hidden)))
        return kept + self.conv2(self.dropout(hidden))


class WideResNet(nn.Module):
    """The module that :func:`wide_resnet` returns."""

    def __init__(self, blocks: int, channels: list[int], classes: int, dropout: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, FIRST_CHANNELS, 3, padding=1, bias=False)
        sizes = (FIRST_CHANNELS, *channels)
        groups = []
        for inputs, outputs, stride in zip(sizes, channels, GROUP_STRIDES, strict=False):
            first = WideBlock(inputs, outputs, stride, dropout)
            rest = (WideBlock(outputs, outputs, 1, dropout) for _ in range(blocks - 1))
            groups.append(nn.Sequential(first, *rest))
        self.group1, self.group2, self.group3 = groups
        self.bn = nn.BatchNorm2d(channels[-1])
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(channels[-1], classes)
        draw_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map [rows, 3, h, w] images to [rows, classes] logits."""
        x = self.group3(self.group2(self.group1(self.conv1(x))))
        x = self.relu(self.bn(x))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


def wide_resnet(depth: int, width: float, *, classes: int = 10, dropout: float = 0.0) -> WideResNet:
    """WRN-``depth``-``width``, pre-activation: a convolution, three groups of blocks, a classifier.

    The first convolution has 16 channels whatever the width; the groups have 16, 32 and 64 times
    ``width``, each rounded, and the second and third halve the image. Weights start as
    :func:`dsr.models.parts.draw_weights` says.

    ========== ========== ===================== =========
    model      parameters in 3x3 block convs    tensors
    ========== ========== ===================== =========
    WRN-28-2    1,467,610             1,451,520        24
    WRN-16-8   10,961,370            10,782,720        12
    WRN-16-10  17,116,634            16,842,240        12
    WRN-22-8   17,158,106            16,975,872        18
    WRN-28-8   23,354,842            23,169,024        24
    ========== ========== ===================== =========

    The thin dense baselines of the DSR paper are ``width`` .75, .98, 1.15, 1.33 and 1.47 at depth
    28: 209,130, 356,376, 491,845, 652,093 and 795,477 parameters, the description length of
    WRN-28-2 at sparsity .9, .8, .7, .6 and .5.

    Args:
        depth: 6 n + 4 with n >= 1 blocks a group: 16, 22, 28.
        width: factor on the channels of the groups; a fraction is allowed.
        classes: outputs.
        dropout: probability of a zero between the two convolutions of a block, in [0, 1). The DSR
            and DST papers use 0, sparse momentum (SNFS) 0.3.

    Returns:
        A module from [rows, 3, 32, 32] images to [rows, classes] logits; other sizes work too, as
        the last map is averaged.

    Raises:
        TypeError: ``depth`` or ``classes`` is not an int.
        ValueError: ``depth`` is not 6 n + 4, or another argument is out of its range.

    Source:
        Zagoruyko and Komodakis, "Wide residual networks" (2016); Mostafa and Wang, "Parameter
        efficient training ... by dynamic sparse reparameterization" (2019), Table 1 and the
        authors' code, where the first group of WRN-28-2 has 32 channels (the table prints 16).

    Example:
        >>> model = dsr.models.wide_resnet(28, 2)
    """
    check_sizes(low=10, depth=depth)
    check_sizes(classes=classes)
    if depth % 6 != 4:
        raise ValueError(f"depth: expected 6 n + 4, such as 16, 22 or 28, got {depth}")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout: expected a probability in [0, 1), got {dropout}")
    channels = [widened(base, width) for base in GROUP_CHANNELS]
    return WideResNet((depth - 4) // 6, channels, classes, dropout)
