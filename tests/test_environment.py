"""The file .env: what the steps take from it, and what they refuse."""

import os
from pathlib import Path
from unittest.mock import patch

import pytest

from linkage import steps
from linkage.errors import UnusableInput
from linkage.paths import PROJECT_ROOT


@pytest.fixture
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(steps, "ENV_FILE", tmp_path / ".env")
    monkeypatch.delenv("PYTHON_DOTENV_DISABLED")
    return tmp_path / ".env"


def read(**shell: str) -> dict[str, str]:
    """The environment of a step that is started with these variables of the shell."""
    with patch.dict(os.environ, shell, clear=True):
        steps.read_environment()
        return dict(os.environ)


def test_the_shell_comes_before_the_file_and_an_empty_variable_counts_as_not_set(env_file: Path):
    env_file.write_text("# places\n\nDUMP=s3://bucket/a b/\nexport AWS_PROFILE='clinic' # an account\nAWS_REGION=\n")
    assert read() == {"DUMP": "s3://bucket/a b/", "AWS_PROFILE": "clinic"}
    assert read(DUMP="s3://other/", AWS_PROFILE="", NEXUS_MAPPING="") == {
        "DUMP": "s3://other/",
        "AWS_PROFILE": "clinic",
    }


def test_an_editors_byte_order_mark_hides_no_variable(env_file: Path):
    env_file.write_bytes(b"\xef\xbb\xbfDUMP=s3://bucket/\r\nAWS_PROFILE=clinic\r\n")
    assert read() == {"DUMP": "s3://bucket/", "AWS_PROFILE": "clinic"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("DUMP=s3://bucket/\n\n\nAWS_PROFILE clinic\n", 4),
        ("export AWS_PROFILE\n", 1),
        ("DUMP=s3://bucket/\nAWS_PROFILE='clinic\nAWS_REGION=eu-west-1\n", 2),
        ("DUMP=s3://bucket/\n  ?\n", 2),
    ],
)
def test_a_line_that_cannot_be_read_is_named_for_a_setting_would_be_missing(env_file: Path, text: str, line: int):
    env_file.write_text(text)
    with pytest.raises(UnusableInput, match=rf"^line {line} of \.env cannot be read: write NAME=value"):
        read()


def test_a_file_that_is_not_utf_8_is_refused(env_file: Path):
    env_file.write_bytes(b"# caf\xe9\nDUMP=s3://bucket/\n")
    with pytest.raises(UnusableInput, match=r"^\.env is not UTF-8"):
        read()


def test_the_example_can_be_read_and_describes_every_variable(env_file: Path):
    example = (PROJECT_ROOT / ".env.example").read_text(encoding="utf-8")
    env_file.write_text(example, encoding="utf-8")
    assert read()["LINKAGE_DATA"] == "data"
    lines = example.splitlines()
    assert all(lines[number - 1].startswith("#") for number, line in enumerate(lines) if line and line[0] != "#")
