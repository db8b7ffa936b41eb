"""The contacts of a made-up firm as CSV, in a process of its own: with them the firm's mail is made, 100 MB of it."""

from __future__ import annotations

import argparse
import csv
import sys
from datetime import date

from dev.tenant.synthetic import synthetic_firm


def main() -> None:
    """Print the CSV."""
    parser = argparse.ArgumentParser(prog="python -m bench.contacts", description=__doc__)
    parser.add_argument("--day", type=date.fromisoformat, required=True)
    parser.add_argument("--synthetic", type=int, required=True)
    parser.add_argument("--folders", type=int, required=True)
    parser.add_argument("--months", type=int, required=True)
    parser.add_argument("--matching", type=float, required=True)
    parser.add_argument("--contacts", type=int, required=True)
    parser.add_argument("--body-kb", type=float, required=True)
    told = parser.parse_args()
    shape = (told.synthetic, told.folders, told.months, told.matching, told.contacts, told.body_kb)
    out = csv.writer(sys.stdout)
    out.writerow(("Name", "Email"))
    for one in synthetic_firm(told.day, *shape).contacts:
        out.writerow((one.name, one.addresses[0]))


if __name__ == "__main__":
    main()
