"""Run the package as a program, by its path or with -m; importing `app` would take long."""

import sys
from importlib import import_module
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])
raise SystemExit(import_module("embedded.main").main(sys.argv[1:]))
