"""Shared by the tests of what only a GPU can show."""

import pytest
import torch


@pytest.fixture
def no_waits(device):
    """Any wait for the GPU is an error."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    yield
    torch.cuda.set_sync_debug_mode("default")
