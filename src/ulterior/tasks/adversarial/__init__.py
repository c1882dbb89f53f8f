"""Adversarial examples: tiny, chosen changes of an image that change the answer."""
