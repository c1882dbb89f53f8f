"""`python -m ulterior` is the command."""

import sys

from ulterior.cli import main

sys.exit(main())
