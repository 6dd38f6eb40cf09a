"""The sites that the cluster's tests have, too."""

from tests.cluster.conftest import full_site, site

__all__ = ["full_site", "site"]
