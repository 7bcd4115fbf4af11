"""Where exports are converted."""

import pytest

from tests.support.exports import Folder


@pytest.fixture
def folder(tmp_path, run_here):
    return Folder(tmp_path, run_here)
