"""Components that not every machine has: tests without them are skipped, or fail."""

import os
from typing import NoReturn

import pytest


def missing(component: str, reason: str) -> NoReturn:
    """Skip a test that needs a component; fail where SELFLOOP_REQUIRE names it."""
    if component in os.environ.get("SELFLOOP_REQUIRE", "").replace(",", " ").split():
        pytest.fail(f"SELFLOOP_REQUIRE names {component!r}, but {reason}")
    pytest.skip(reason)
