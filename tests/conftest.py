"""Settings and fixtures of all tests."""

from __future__ import annotations

import signal

import pytest
from hypothesis import settings

# How long an example takes says nothing on a busy machine; speed has tests of its own
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture(autouse=True)
def signals():
    """Give signals back: a command leaves them ignored, for the end of what is its process elsewhere."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
