"""Layercode: its signatures, its payloads of every age, and its REST records. No other module knows these names."""

from postcall.sources.layercode.settings import Settings
from postcall.sources.layercode.source import Layercode, source

__all__ = ["Layercode", "Settings", "source"]
