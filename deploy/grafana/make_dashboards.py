"""Writes overview.json and capacity.json beside itself, or into a folder.

    make_dashboards.py [FOLDER]

Runs with what tests/observe/requirements.txt pins: ./dev dashboards.
"""
from __future__ import annotations

import sys
from pathlib import Path

from capacity import capacity
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from overview import overview


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for name, made in (("overview", overview()), ("capacity", capacity())):
        (folder / f"{name}.json").write_text(JSONEncoder(sort_keys=True, indent=2).encode(made) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
