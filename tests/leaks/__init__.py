"""Looks for given words in all that a folder keeps, however it is stored."""

from tests.leaks.needles import Needles
from tests.leaks.scan import Hit, Scan, scan

__all__ = ["Hit", "Needles", "Scan", "scan"]
