"""Small transformers whose circuits are known: compiled from programs, and trained to use a chosen circuit."""
