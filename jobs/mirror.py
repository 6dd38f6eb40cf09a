"""Bring a model's base weights from the hub into the store, once: `python -m jobs.mirror --model llama31`.

In a Job, `--run URI` takes model and store from a frozen run. A token comes from HF_TOKEN or the hub client's own
login. Ctrl-C and SIGTERM leave what is in the store; the same command goes on from there.
"""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer

from fingpt import log
from fingpt.config import SiteConfig, site_config
from fingpt.errors import ConfigError
from fingpt.models import spec
from fingpt.stage import guarded, load_run, locate
from fingpt.storage import open_store


def main(
    model: Annotated[str | None, typer.Option(help="a model of the model table")] = None,
    run: Annotated[str | None, typer.Option(help="URI of a run.json, instead of a model")] = None,
) -> None:
    """Bring a model's base weights from the hub into the store, verified; the same command resumes."""
    log.setup(stage="mirror")
    site = site_config()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(guarded(lambda: bring(model, run, site), debug=site.debug))


def bring(model: str | None, run: str | None, site: SiteConfig) -> None:
    """Mirror the weights of `model` into the site's store, or those of a run's model into the run's store."""
    if (model is None) == (run is None):
        raise ConfigError("Give one of --model and --run, such as: make mirror MODEL=llama31.")
    if run is not None:
        store, run_id = locate(run)
        row = spec(load_run(store, run_id).config.model)
    else:
        store, row = open_store(site.store), spec(str(model))

    from fingpt.hub import Hub
    from fingpt.mirror import mirror

    mirror(store, row, Hub(site.hub_token))


if __name__ == "__main__":
    typer.run(main)
