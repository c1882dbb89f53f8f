"""Tasks x detectors x seeds, in one table."""
