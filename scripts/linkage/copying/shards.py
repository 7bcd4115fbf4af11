"""Shards: the contiguous parts of one manifest that several runs copy, each with a results file of its own."""

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from linkage.copying.tables import Tables
from linkage.errors import UnusableInput

MOST = 99_999  # shards, for which file names have room
IN_FLIGHT = 512  # requests of all shards together, near S3's first limit of 3,500 copies/s per prefix
LEAST_IN_FLIGHT = 8  # of one shard
NAME = re.compile(r"(.+)-([0-9]{5})-of-([0-9]{5})")
SIZES = {  # of an array job: the variable that has its index, and the one that has its size
    "AWS_BATCH_JOB_ARRAY_INDEX": "AWS_BATCH_JOB_ARRAY_SIZE",
    "JOB_COMPLETION_INDEX": "SHARDS",
    "SLURM_ARRAY_TASK_ID": "SLURM_ARRAY_TASK_COUNT",
}
SLURM = "SLURM_ARRAY_TASK_ID"
FIRST, LAST, STEP = "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX", "SLURM_ARRAY_TASK_STEP"


class Shard(NamedTuple):
    """One of several parts of a manifest's rows; the first has the number 1."""

    number: int
    shards: int

    def __str__(self) -> str:
        return f"{self.number}/{self.shards}"

    def rows(self, rows: int) -> tuple[int, int]:
        """The first and the last of a manifest's `rows` rows that are its part; an empty part ends before it begins."""
        return rows * (self.number - 1) // self.shards + 1, rows * self.number // self.shards

    def beside(self, path: Path) -> Path:
        """The shard's own results file beside `path`: `copy_results-00002-of-00004.csv`."""
        return path.with_name(f"{path.stem}-{self.number:05}-of-{self.shards:05}{path.suffix}")

    def workers(self, most: int) -> int:
        """Requests in flight, so that those of all shards together are as many as one run has; at most `most`."""
        return min(most, max(LEAST_IN_FLIGHT, IN_FLIGHT // self.shards))


def parse_shard(text: str) -> Shard:
    """Parse `I/N`; raises argparse's own error for anything else."""
    match = re.fullmatch("([0-9]+)/([0-9]+)", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]) <= MOST:
        raise argparse.ArgumentTypeError(f"must be I/N, with I from 1 to N and N up to {MOST:,}, such as 3/8")
    return Shard(int(match[1]), int(match[2]))


def named_shard(path: Path) -> tuple[Path, Shard] | None:
    """The results file beside which a shard's file lies, and the shard, from its name; None for another file."""
    match = NAME.fullmatch(path.stem)
    if not match:
        return None
    return path.with_name(match[1] + path.suffix), Shard(int(match[2]), int(match[3]))


def scheduled_shard(variables: Mapping[str, str]) -> Shard | None:
    """The shard of a task of an array job, from what its scheduler sets: AWS Batch, Kubernetes or Slurm; else None.

    Kubernetes sets no size; there it is `SHARDS`, which the job must set.

    Raises UnusableInput if the variables leave it open: then every task might copy everything, or none its part.
    """
    found = [index for index, size in SIZES.items() if index in variables or size in variables]
    if not found:
        return None
    if len(found) > 1:
        names = " and ".join(name for index in found for name in (index, SIZES[index]) if name in variables)
        raise UnusableInput(f"{names} are of different schedulers; give --shard I/N")
    [index] = found
    for name, other in ((index, SIZES[index]), (SIZES[index], index)):
        if name not in variables:
            raise UnusableInput(
                f"{other} is set, but {name} is not; set both, or say with --shard I/N which part to copy"
            )
    place, count = read_number(variables, index), read_number(variables, SIZES[index])
    number = place - first_index(variables, count) if index == SLURM else place
    if not 1 <= count <= MOST:
        raise UnusableInput(f"{SIZES[index]} must be from 1 to {MOST:,}; correct it, or give --shard I/N")
    if not 0 <= number < count:
        raise UnusableInput(
            f"{index} is {place}, which is not an index of an array of {count} ({SIZES[index]}); correct it, or give "
            "--shard I/N"
        )
    return Shard(number + 1, count)


def first_index(variables: Mapping[str, str], count: int) -> int:
    """The first index of Slurm's array, which may begin anywhere: 1 unless Slurm says otherwise.

    Raises UnusableInput if its indexes do not follow one another: some shards would have no task.
    """
    first = read_number(variables, FIRST) if FIRST in variables else 1
    last = read_number(variables, LAST) if LAST in variables else first + count - 1
    step = read_number(variables, STEP) if STEP in variables else 1
    if last - first + 1 != count or (step != 1 and count > 1):
        raise UnusableInput(
            f"the indexes of this Slurm array have gaps ({count} from {first} to {last}), so some rows would have no "
            "task; submit it with --array=1-N, or give --shard I/N"
        )
    return first


def read_number(variables: Mapping[str, str], name: str) -> int:
    """A variable's value as a whole number; raises UnusableInput if it is not one."""
    text = variables[name]
    if not (text.isascii() and text.isdigit()):
        raise UnusableInput(f"{name} is not a whole number; correct it, or give --shard I/N")
    return int(text)


def take_part(tables: Tables, shard: Shard | None = None, limit: int | None = None) -> int:
    """Make the view `part`, the rows of the table `manifest` that a run is about; returns how many they are.

    They are those of the shard, or else all, and of these the first `limit`.
    """
    [(rows,)] = tables.run("select count(*) from manifest")
    first, last = shard.rows(rows) if shard else (1, int(rows))
    last = min(last, first + limit - 1) if limit else last
    tables.run(f"create view part as select * from manifest where row_number between {first} and {last}")
    return last - first + 1
