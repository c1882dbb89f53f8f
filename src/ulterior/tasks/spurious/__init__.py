"""Spurious correlates: two features that always agree in what a network learned from, and part in the test."""
