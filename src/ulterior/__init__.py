"""Tell whether a model did this for the usual reasons."""

from ulterior.version import __version__

__all__ = ["__version__"]
