"""Spurious correlates in texts: where a review comes from always went with what it says."""
