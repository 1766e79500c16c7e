"""Tensors between borders that no kernel may touch: given ones, and those that code allocates."""

from collections import deque

import torch

BORDER = 64  # elements on each side: 128 bytes or more
CANARY = 0x5C
# Bytes of what was never written: NaN as a float, and far from any count or index as an integer.
POISON = {True: 0xFF, False: 0xFB}
KEPT = 256  # allocations whose borders are watched at a time

EMPTY = ((torch, "empty empty_like empty_strided"), (torch.Tensor, "new_empty"))
FILLED = (
    (torch, "zeros zeros_like full full_like"),
    (torch.Tensor, "new_zeros new_full clone"),
)


class Canaries:
    """Makes tensors inside larger ones, whose borders hold one known byte."""

    def __init__(self):
        self._borders = []
        self._made = 0

    def around(self, tensor, aligned=False):
        """A copy of a one-dimensional ``tensor``.

        Unless ``aligned``, every second one begins where no vector could be loaded at once.
        """
        self._made += 1
        shift = 0 if aligned or self._made % 2 else 1 + self._made // 2 % 3
        inside, borders = bordered(tensor.numel(), tensor, shift)
        self._borders += borders
        return inside.copy_(tensor)

    def intact(self):
        """Whether every border is as it was."""
        return all(map(untouched, self._borders))


def bordered(elements, like, shift=0):
    """A vector of the dtype and device of ``like`` in a larger one, and the borders as bytes."""
    size, start = like.element_size(), BORDER + shift
    end = start + elements
    raw = FULL(((end + BORDER) * size,), CANARY, dtype=torch.uint8, device=like.device)
    return raw.view(like.dtype)[start:end], [raw[: start * size], raw[end * size :]]


def untouched(border):
    return bool((border == CANARY).all())


FULL = torch.full  # as it is before it is guarded itself


class Allocations:
    """While installed, what torch allocates for Python code on a CPU lies between canaries.

    What is said to be empty is poisoned. The borders of older allocations are looked at as newer
    ones come, and no more after that.
    """

    def __init__(self, monkeypatch):
        self._borders = deque()
        self._all_intact = True
        for functions, poison in ((EMPTY, True), (FILLED, False)):
            for owner, names in functions:
                for name in names.split():
                    monkeypatch.setattr(owner, name, self._guarded(getattr(owner, name), poison))

    def intact(self):
        """Whether no border was touched so far; forgets them."""
        while self._borders:
            self._look_at_oldest()
        intact, self._all_intact = self._all_intact, True
        return intact

    def _guarded(self, allocate, poison):
        def guarded(*args, **kwargs):
            tensor = allocate(*args, **kwargs)
            return self._moved(tensor, poison) if is_plain(tensor) else tensor

        return guarded

    def _moved(self, tensor, poison):
        pairs = zip(tensor.shape, tensor.stride(), strict=True)
        extent = 1 + sum((size - 1) * stride for size, stride in pairs) if tensor.numel() else 0
        vector, borders = bordered(extent, tensor)
        inside = vector.as_strided(tensor.shape, tensor.stride())
        if poison:
            vector.view(torch.uint8).fill_(POISON[tensor.dtype.is_floating_point])
        else:
            inside.copy_(tensor)
        self._borders.append(borders)
        if len(self._borders) > KEPT:
            self._look_at_oldest()
        return inside

    def _look_at_oldest(self):
        self._all_intact &= all(map(untouched, self._borders.popleft()))


def is_plain(tensor):
    """Whether it is an ordinary tensor in memory, that no gradient is asked for."""
    return (
        type(tensor) is torch.Tensor
        and tensor.device.type == "cpu"
        and tensor.layout == torch.strided
        and not tensor.requires_grad
        and not tensor.is_complex()
        and tensor.storage_offset() == 0
    )
