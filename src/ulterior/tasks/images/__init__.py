"""What all tasks on images share: data sets, small classifiers, their training, and the rows of a task."""
