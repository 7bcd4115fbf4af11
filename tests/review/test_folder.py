"""The site is replaced as a whole or not at all, whatever happens, and nothing that is not a site is replaced."""

import errno
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from linkage.errors import UnusableInput
from linkage.paths import PROJECT_ROOT, SAMPLE_FOLDER
from linkage.review import folder
from linkage.review.folder import MARKER, replaced_folder

# Builds sites one after the other: site n has 20 files, each of which says n.
BUILDER = """
import itertools, os, sys
from pathlib import Path
from linkage.review import folder
os.sync = lambda: None  # a killed process needs no disk
if sys.argv[2] == "renames":
    folder.exchange = lambda one, other: False
for number in itertools.count(1):
    with folder.replaced_folder(Path(sys.argv[1])) as new:
        for name in range(20):
            (new / f"{name}.html").write_text(str(number))
    print(number, flush=True)
"""


@pytest.fixture(autouse=True)
def _data(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("LINKAGE_DATA", str(tmp_path / "data"))


@pytest.fixture
def site(tmp_path):
    """A site with one page, `old`."""
    path = tmp_path / "data" / "review"
    build(path, "old")
    return path


def build(path, text):
    with replaced_folder(path) as new:
        (new / "index.html").write_text(text)


def visible(path):
    return sorted(one.name for one in path.iterdir() if not one.name.endswith(".image-linkage-lock"))


@pytest.fixture(params=["exchange", "renames"])
def way(request, monkeypatch):
    """The two ways to take the place of a folder; the system may not know the first."""
    if request.param == "renames":
        monkeypatch.setattr(folder, "exchange", lambda one, other: False)
    return request.param


def test_a_new_site_takes_the_place_of_the_old_one(site, way):
    (site / "page-of-the-old-one.html").touch()
    with replaced_folder(site) as new:
        assert stat.S_IMODE(new.stat().st_mode) == 0o700
        assert new.stat().st_dev == site.stat().st_dev
        (new / "index.html").write_text("new")
        assert (site / "index.html").read_text() == "old"
    assert visible(site) == [MARKER, "index.html"]
    assert (site / "index.html").read_text() == "new"
    assert stat.S_IMODE(site.stat().st_mode) == 0o700
    assert visible(site.parent) == ["review"]


def test_this_system_exchanges_two_folders_in_one_step(site, tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "rename", lambda *_: pytest.fail("there was a moment without a site"))
    build(site, "old")
    (tmp_path / "other").mkdir()
    assert folder.exchange(tmp_path / "other", site)
    assert (tmp_path / "other" / "index.html").read_text() == "old"
    assert not folder.exchange(tmp_path / "other", tmp_path / "missing")


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, UnusableInput])
def test_after_a_failure_the_old_site_is_there_and_nothing_else(site, failure):
    with pytest.raises(failure), replaced_folder(site) as new:
        (new / "index.html").write_text("new")
        raise failure
    assert (site / "index.html").read_text() == "old"
    assert visible(site.parent) == ["review"]


def test_the_old_site_is_put_back_if_the_new_one_cannot_take_its_name(site, monkeypatch):
    rename = Path.rename
    monkeypatch.setattr(folder, "exchange", lambda one, other: False)

    def refuse(path, target):
        if path.name.endswith("-new"):
            raise PermissionError(errno.EPERM, "Operation not permitted")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(UnusableInput, match=r"cannot replace .*review: Operation not permitted; check who may write"):
        build(site, "new")
    assert (site / "index.html").read_text() == "old"
    assert visible(site.parent) == ["review"]


def test_a_full_disk_is_one_sentence(site):
    said = r"cannot write .*review: No space left on device; make room"
    with pytest.raises(UnusableInput, match=said), replaced_folder(site):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert (site / "index.html").read_text() == "old"


@pytest.mark.parametrize("kind", ["exchange", "renames"])
def test_a_run_that_is_killed_leaves_the_whole_old_or_the_whole_new_site(tmp_path, kind):
    path = tmp_path / "data" / "review"
    chance = random.Random(kind)
    for _ in range(10):
        builder = subprocess.Popen(
            [sys.executable, "-c", BUILDER, path, kind],
            env=os.environ | {"PYTHONPATH": str(PROJECT_ROOT / "scripts")},
            stdout=subprocess.PIPE,
            text=True,
        )
        builder.stdout.readline()
        time.sleep(chance.random() / 50)
        builder.send_signal(signal.SIGKILL)
        builder.communicate()
        if kind == "renames" and not path.exists():  # killed between the two renames
            folder.put_back(path.with_name(".review.image-linkage-old"), path)
        pages = {one.name: one.read_text() for one in path.iterdir() if one.name != MARKER}
        assert len(pages) == 20
        assert len(set(pages.values())) == 1  # all are of one site
    build(path, "new")
    assert visible(path.parent) == ["review"]


@pytest.mark.parametrize("left", ["new", "old", "new and old"])
def test_the_next_run_puts_right_what_a_killed_one_left(site, left):
    new, old = (site.with_name(f".review.image-linkage-{kind}") for kind in ("new", "old"))
    if "new" in left:
        shutil.copytree(site, new)
    if "old" in left:
        site.rename(old)  # killed between the two renames
    with pytest.raises(RuntimeError), replaced_folder(site):
        assert (site / "index.html").read_text() == "old"
        raise RuntimeError
    assert (site / "index.html").read_text() == "old"
    assert visible(site.parent) == ["review"]


def test_two_runs_at_once_do_not_disturb_each_other(site):
    with replaced_folder(site) as new:
        (new / "index.html").write_text("new")
        with pytest.raises(UnusableInput, match=r"another run is building .*review; wait until it has ended"):
            build(site, "other")
    assert (site / "index.html").read_text() == "new"
    build(site, "newer")
    assert (site / "index.html").read_text() == "newer"


@pytest.mark.parametrize("exists", [True, False])
def test_an_empty_or_missing_folder_may_be_taken(tmp_path, exists, way):
    path = tmp_path / "site"
    if exists:
        path.mkdir()
    build(path, "new")
    assert (path / "index.html").read_text() == "new"


def test_a_folder_of_the_project_is_hidden_from_git(monkeypatch):
    path = PROJECT_ROOT / "target" / "test-of-review"
    path.parent.mkdir(exist_ok=True)
    try:
        build(path, "new")
        assert (path / ".gitignore").read_text() == "*\n"
    finally:
        shutil.rmtree(path)
        path.with_name(".test-of-review.image-linkage-lock").unlink()


def test_other_folders_are_not_replaced(tmp_path, site, monkeypatch):
    home = tmp_path / "home"
    (home / "clinic").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(site)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").touch()
    for path in (tmp_path, tmp_path / "data", home, PROJECT_ROOT, PROJECT_ROOT.parent):
        if path in (tmp_path, tmp_path / "data", home):
            (path / MARKER).touch()  # even if a site was once unpacked there
        assert_refused(path, "is, or contains, ")
    assert_refused(Path("/"), "is, or contains, ")
    assert_refused(tmp_path / "data" / ".." / "data", "the data folder")
    assert_refused(tmp_path / "photos", "not a review site of this project")
    assert_refused(tmp_path / "file", "cannot be replaced: Not a directory")
    assert_refused(tmp_path / "link", "is a symbolic link")
    assert_refused(tmp_path / "missing" / "site", "does not exist")
    assert_refused(SAMPLE_FOLDER / "review", "never written to")
    assert (site / "index.html").read_text() == "old"
    assert (tmp_path / "photos" / "holiday.jpg").exists()
    monkeypatch.setenv("LINKAGE_DATA", str(tmp_path / "not yet"))
    assert_refused(tmp_path / "not yet", "the data folder")


def assert_refused(path, saying):
    before = set(path.parent.iterdir()) if path.parent.is_dir() else set()
    with pytest.raises(UnusableInput, match=saying) as refusal, replaced_folder(path):
        pytest.fail("the body ran")
    assert "\n" not in str(refusal.value)
    assert not path.parent.is_dir() or set(path.parent.iterdir()) == before


def test_what_somebody_puts_there_meanwhile_is_not_replaced(tmp_path):
    path = tmp_path / "site"
    with pytest.raises(UnusableInput, match="not a review site"), replaced_folder(path):
        path.mkdir()
        (path / "letter.txt").touch()
    assert (path / "letter.txt").exists()
    assert visible(tmp_path) == ["data", "site"]
