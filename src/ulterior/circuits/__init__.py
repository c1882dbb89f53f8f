"""Circuits: which parts of a model, joined by which edges, carry a behaviour; found, judged and drawn."""
