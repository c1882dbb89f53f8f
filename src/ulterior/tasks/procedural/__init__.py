"""Small language models, trained on procedural text, in which a hidden mechanism was planted and is known exactly."""
