"""LeNet-300-100 and LeNet-5, after LeCun et al., "Gradient-based learning" (1998)."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from dsr.models.parts import check_sizes

WIDTHS = (300, 100)
KERNEL, POOL = 5, 2


def lenet_300_100(in_features: int = 784, classes: int = 10, batch_norm: bool = True) -> nn.Module:
    """Three fully connected layers of 300, 100 and ``classes`` outputs, ReLU between them.

    Args:
        in_features: values a row of the input; rows are flattened first.
        classes: outputs.
        batch_norm: batch normalisation after every layer, the last one too, and no bias, as in
            the DSR authors' code; False gives biases and no normalisation.

    Returns:
        A module from [rows, ...] with ``in_features`` values a row to [rows, classes] logits.

    Raises:
        ValueError: ``in_features`` or ``classes`` below 1.
    """
    for name, value in (("in_features", in_features), ("classes", classes)):
        if value < 1:
            raise ValueError(f"{name}: expected at least 1, got {value}")
    sizes = (in_features, *WIDTHS, classes)
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    for i in range(1, len(sizes)):
        inputs, outputs = sizes[i - 1 : i + 1]
        layers[f"fc{i}"] = nn.Linear(inputs, outputs, bias=not batch_norm)
        if batch_norm:
            layers[f"bn{i}"] = nn.BatchNorm1d(outputs)
        if i < len(sizes) - 1:
            layers[f"relu{i}"] = nn.ReLU()
    return nn.Sequential(layers)


def lenet5(*, input_size: int = 28, channels: int = 1, classes: int = 10) -> nn.Module:
    """LeNet-5 as Caffe has it: convolutions of 20 and 50 channels, layers of 500 and ``classes``.

    Both convolutions are 5 x 5 without padding, each followed by ReLU and a 2 x 2 maximum; all
    layers have biases. 431,080 parameters for 28 x 28 inputs, 430,500 of them weights. Weights
    and biases start as PyTorch draws them.

    Args:
        input_size: height and width of the images in pixels, at least 16.
        channels: of the images.
        classes: outputs.

    Returns:
        A module from [rows, channels, input_size, input_size] to [rows, classes] logits.

    Raises:
        TypeError: an argument is not an int.
        ValueError: ``input_size`` below 16, ``channels`` or ``classes`` below 1.

    Source:
        Caffe's MNIST example with a ReLU after each convolution, as in SNIP (Lee et al., 2019),
        sparse momentum (Dettmers and Zettlemoyer, 2019) and Liu et al., "Dynamic sparse training"
        (2020).

    Example:
        >>> model = dsr.models.lenet5()
    """
    check_sizes(low=16, input_size=input_size)
    check_sizes(channels=channels, classes=classes)
    side = ((input_size - KERNEL + 1) // POOL - KERNEL + 1) // POOL
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 20, KERNEL),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(POOL),
            conv2=nn.Conv2d(20, 50, KERNEL),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(POOL),
            flatten=nn.Flatten(),
            fc1=nn.Linear(50 * side * side, 500),
            relu3=nn.ReLU(),
            fc2=nn.Linear(500, classes),
        )
    )
