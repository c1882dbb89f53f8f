"""The one error that is written for people."""


class InputError(Exception):
    """Something the user gave cannot be used.

    The message is one line that names what was wrong, where, and what would be right. The command line
    prints it after ``ulterior:`` and exits with code 2; it never shows a traceback for it.
    """
