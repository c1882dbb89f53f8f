"""`ulterior circuit`: find the circuit behind a behaviour, judge it on held-out pairs, draw it."""
