"""Python imports this at its start where this folder is on its path: so the changes of worker processes are watched too."""

import crash_points

crash_points.watch_workers()
