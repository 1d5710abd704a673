"""``python -m vidfold``."""

from vidfold.cli import main

raise SystemExit(main())
