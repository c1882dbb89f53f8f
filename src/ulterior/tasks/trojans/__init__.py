"""Trojans in classifiers of images: a trigger that someone put into the training data decides the answer."""
