"""`python -m sync.admin`: see docs/command-line.md, or `--help`."""

from __future__ import annotations

import sys

from sync.admin.main import main

if __name__ == "__main__":
    sys.exit(main())
