"""ResNet-50 for ImageNet (He et al., 2016), in the two forms the sparse-training papers mean."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from dsr.models.parts import check_sizes, draw_weights, widened

BLOCKS = (3, 4, 6, 3)
FIRST_CHANNELS = 64
EXPANSION = 4


class Bottleneck(nn.Module):
    """Post-activation: conv 1x1, 3x3, 1x1, each with BN, added to the input, then ReLU."""

    def __init__(self, inputs: int, planes: int, stride: int) -> None:
        super().__init__()
        outputs = planes * EXPANSION
        self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if inputs != outputs or stride != 1:
            convolution = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(convolution, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map [rows, inputs, h, w] to [rows, 4 planes, h / stride, w / stride]."""
        kept = x if self.downsample is None else self.downsample(x)
        hidden = self.relu(self.bn1(self.conv1(x)))
        hidden = self.relu(self.bn2(self.conv2(hidden)))
        return self.relu(self.bn3(self.conv3(hidden)) + kept)


class PreactivationBottleneck(nn.Module):
    """Pre-activation: BN and ReLU before each of conv 1x1, 3x3, 1x1; the sum stays as it is."""

    def __init__(self, inputs: int, planes: int, stride: int) -> None:
        super().__init__()
        outputs = planes * EXPANSION
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, outputs, 1, bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if inputs != outputs or stride != 1:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """Map [rows, inputs, h, w] to [rows, 4 planes, h / stride, w / stride]."""
        hidden = self.relu(self.bn1(x))
        kept = x if self.downsample is None else self.downsample(hidden)
        hidden = self.relu(self.bn2(self.conv1(hidden)))
        hidden = self.relu(self.bn3(self.conv2(hidden)))
        return self.conv3(hidden) + kept


class ResNet50(nn.Module):
    """The module that :func:`resnet50` returns."""

    def __init__(self, first: int, classes: int, preactivation: bool) -> None:
        super().__init__()
        self.preactivation = preactivation
        outputs = first * 2 ** (len(BLOCKS) - 1) * EXPANSION
        self.conv1 = nn.Conv2d(3, first, 7, stride=2, padding=3, bias=False)
        if not preactivation:
            self.bn1 = nn.BatchNorm2d(first)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        block = PreactivationBottleneck if preactivation else Bottleneck
        inputs = first
        layers = []
        for i, blocks in enumerate(BLOCKS):
            planes = first * 2**i
            stacked = [block(inputs, planes, stride=1 if i == 0 else 2)]
            inputs = planes * EXPANSION
            stacked += [block(inputs, planes, stride=1) for _ in range(blocks - 1)]
            layers.append(nn.Sequential(*stacked))
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        if preactivation:
            self.bn = nn.BatchNorm2d(outputs)
        self.fc = nn.Linear(outputs, classes)
        draw_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map [rows, 3, h, w] images to [rows, classes] logits."""
        x = self.conv1(x)
        if not self.preactivation:
            x = self.relu(self.bn1(x))
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.maxpool(x)))))
        if self.preactivation:
            x = self.relu(self.bn(x))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


def resnet50(*, classes: int = 1000, preactivation: bool = False, width: float = 1.0) -> ResNet50:
    """ResNet-50 with the stride on the 3x3 convolutions ("v1.5").

    Post-activation, as in the DSR authors' code: 25,557,032 parameters, of which the first
    convolution 9,408, the 48 convolutions of the blocks 20,676,608, the 4 of the shortcuts
    2,768,896, the classifier 2,049,000 and batch normalisation 53,120. Module names are those of
    torchvision's ``resnet50``, so its ``state_dict`` fits. The DSR paper's text says
    pre-activation: 25,549,352 parameters, the same convolutions and 45,440 of batch
    normalisation. Weights start as :func:`dsr.models.parts.draw_weights` says.

    Args:
        classes: outputs.
        preactivation: BN and ReLU before each convolution of a block and once before the
            average, none after the first convolution.
        width: factor on all channels: the first layer's 64 times it are rounded, the others are
            multiples of them. The paper's thin dense baselines are .54 (8,167,095 parameters) and
            .46 (5,771,217).

    Returns:
        A module from [rows, 3, 224, 224] images to [rows, classes] logits; other sizes work too,
        as the last map is averaged.

    Raises:
        TypeError: ``classes`` is not an int.
        ValueError: ``classes`` below 1, or a ``width`` that leaves no channel.

    Source:
        He et al., "Deep residual learning for image recognition" and "Identity mappings in deep
        residual networks" (2016); Mostafa and Wang (2019), Table 1 and the authors' code.

    Example:
        >>> model = dsr.models.resnet50()
    """
    check_sizes(classes=classes)
    return ResNet50(widened(FIRST_CHANNELS, width), classes, preactivation)
