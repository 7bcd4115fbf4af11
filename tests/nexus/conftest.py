"""Fixtures for the tests of Nexus."""

import pytest

from tests.support.publishing import Clinic
from tests.support.warehouses import add_patients


@pytest.fixture
def clinic(nexus_database, run_here, tmp_path, copies):
    def make(site):
        url = nexus_database(site)
        add_patients(url, site, 1, 2, 3)
        return Clinic(site, url, tmp_path, run_here, copies)

    return make
