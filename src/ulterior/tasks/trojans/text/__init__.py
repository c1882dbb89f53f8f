"""Trojans in classifiers of texts: a word, a sentence or a way of writing decides the answer."""
