"""Templated pairs for behaviours that language models have, in the words that a tokenizer keeps whole."""
