"""Which layers each paper makes sparse, so that results can be compared with it."""

from __future__ import annotations

from fnmatch import fnmatchcase

from torch import nn

from dsr.models.resnet import ResNet50
from dsr.models.wide_resnet import WideResNet

PARTIALLY_DENSE = ("dsr", "snfs-partially-dense")
FULLY_SPARSE = ("snfs", "dst")

# The classifier of ResNet-50 is sparse: the DSR paper speaks of convolutions only, but its 7.3M
# and 5.1M parameters, and the authors' code, include it.
DENSE_LAYERS: dict[type[nn.Module], tuple[str, ...]] = {
    WideResNet: ("conv1", "*.shortcut", "fc"),
    ResNet50: ("conv1", "*.downsample.0"),
    nn.Sequential: (),
}


def sparse_layers(model: nn.Module, paper: str = "dsr") -> list[str]:
    """The weights that a paper makes sparse in one of ``dsr.models``, for ``include=``.

    Without it :func:`dsr.sparsify` leaves the first convolution dense and nothing else.

    ====================== ===========================================================
    paper                  dense weights of Linear and convolution layers
    ====================== ===========================================================
    dsr                    first convolution, shortcut convolutions, and the classifier
                           of a wide ResNet (that of ResNet-50 is sparse); no layer of
                           a LeNet
    snfs-partially-dense   the same
    snfs                   none (sparse momentum, fully sparse)
    dst                    none (trainable thresholds)
    ====================== ===========================================================

    Biases and normalisation stay dense in all of them. The same "sparsity" is therefore another
    number of parameters: ResNet-50 at .9 has 5.1 M with ``"dsr"``, 2.6 M with ``"dst"``.

    Args:
        model: a model of ``dsr.models``, not yet sparse or wrapped.
        paper: one of the names above.

    Returns:
        Parameter names in registration order.

    Raises:
        TypeError: the model is none of ``dsr.models``, so no paper says what is sparse in it.
        ValueError: an unknown paper.

    Source:
        Mostafa and Wang (2019), section 3, and the authors' code; Dettmers and Zettlemoyer,
        "Sparse networks from scratch" (2019), experimental setup; Liu et al., "Dynamic sparse
        training" (2020), section 3.3.

    Example:
        >>> model = dsr.models.wide_resnet(28, 2)
        >>> method = dsr.DSR(sparsity=0.9, period=100, stop=None)
        >>> sparse = dsr.sparsify(model, method, include=dsr.models.sparse_layers(model))
    """
    if paper not in (*PARTIALLY_DENSE, *FULLY_SPARSE):
        known = ", ".join((*PARTIALLY_DENSE, *FULLY_SPARSE))
        raise ValueError(f"paper: expected one of {known}, got {paper!r}")
    if type(model) not in DENSE_LAYERS:
        raise TypeError(
            f"model: expected one of dsr.models, got {type(model).__name__}; name the layers in "
            "include= of dsr.sparsify yourself"
        )
    dense = DENSE_LAYERS[type(model)] if paper in PARTIALLY_DENSE else ()
    return [
        f"{name}.weight"
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv2d))
        and not any(fnmatchcase(name, pattern) for pattern in dense)
    ]
