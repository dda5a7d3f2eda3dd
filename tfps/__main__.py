"""`python -m tfps` is the `tfps` command."""

import sys

from tfps.cli import main

sys.exit(main())
