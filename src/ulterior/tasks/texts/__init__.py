"""What all tasks on texts share: movie reviews, classifiers of them, and the rows of a task."""
