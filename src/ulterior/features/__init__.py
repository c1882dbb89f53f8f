"""What is read from one forward pass; one file an idea."""
