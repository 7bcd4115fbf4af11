"""Whether Spark can run here, for the tests and the benchmarks."""

import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

JAVA = 17  # the oldest version that Spark 4 runs on


def find_java() -> Path | None:
    """The program `java`: that of JAVA_HOME, or else the one on PATH."""
    home = os.environ.get("JAVA_HOME")
    found = f"{home}/bin/java" if home else shutil.which("java")
    return Path(found) if found and Path(found).exists() else None


def what_is_missing() -> str:
    """What Spark needs and is not here, as a sentence; empty if it can run."""
    if not all(map(find_spec, ("pyspark", "dbt.adapters.spark"))):
        return "pyspark and dbt-spark are not installed: run `make setup-spark`"
    java = find_java()
    if java is None:
        return f"Java is not installed: install version {JAVA} or newer"
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < JAVA:
        return f"{java} is older than Java {JAVA}: install a newer one, or name one in JAVA_HOME"
    return ""
