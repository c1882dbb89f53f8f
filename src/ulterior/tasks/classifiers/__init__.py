"""What all tasks on small classifiers share, of images or of texts: their training, and that they are kept."""
