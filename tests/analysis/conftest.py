"""Lets the tests of this directory import their shared examples."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
