"""These tests import libraries that need not be installed, so they are read only where they are asked for."""

from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    asked = config.option.markexpr
    return None if not asked or ("ecosystem" in asked and "not ecosystem" not in asked) else True
