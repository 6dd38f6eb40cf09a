"""Stage prep of one run: `python -m jobs.prep --run <store>/runs/<id>/run.json`."""

from __future__ import annotations

import sys

from fingpt.runs.run import Stage
from fingpt.runs.stage import Body, main


def load_body() -> Body:
    """Import the stage's body; nothing heavy loads before the frame asks for it."""
    from fingpt.prep.stage import body

    return body


if __name__ == "__main__":
    sys.exit(main(Stage.PREP, load_body))
