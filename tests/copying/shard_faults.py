"""Shards under faults: any of four, in any order, at once, twice, killed and repeated; then merged and judged.

A part of `make faults`. It prints a table, and exits with 1 if anything was lost, duplicated, overwritten or
reported falsely, or if too few kills or faults happened for a verdict.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from os import kill
from pathlib import Path

from linkage.copying.shards import Shard
from linkage.paths import PROJECT_ROOT
from sandbox.s3_server import s3_server
from tests.copying.copy_faults import ENGINES, RATES, SURNAME, Plan, Report, add, make_clinic, mixture, move_on, tell
from tests.support.copier_process import BLIND, run_copier
from tests.support.copy_oracle import DONE, Clinic, lost_lines, read_lines, violations
from tests.support.proxy import AnsweringProxy, Effect, Request, answering_proxy

SHARDS = 4
OTHER_SHARDS = 3  # of some runs, so that two of different sets have rows in common
WORKERS = (1, 2, 8, 32)
MERGE = str(PROJECT_ROOT / "scripts" / "merge_copy_results.py")


@dataclass
class Shards:
    """Runs shards of a clinic's manifest through the proxy, several at once, and checks what each says and records."""

    clinic: Clinic
    proxy: AnsweringProxy
    engine: str
    chance: random.Random
    control: str = ""
    report: Report = field(default_factory=Report)
    torn: int = 0  # lines, which may have been merged before

    @property
    def merged(self) -> Path:
        """The file in which all results are merged."""
        return Path(self.clinic.environment["LINKAGE_DATA"]) / "copy_results.csv"

    def files(self) -> list[Path]:
        """The results files of the shards that there are."""
        return sorted(self.merged.parent.glob("copy_results-*-of-*.csv"))

    def some(self) -> list[Shard]:
        """Some shards in any order, now and then one of them twice, and now and then one of another set."""
        numbers = self.chance.sample(range(1, SHARDS + 1), self.chance.randrange(1, SHARDS + 1))
        chosen = [Shard(number, SHARDS) for number in numbers]
        if self.chance.random() < 0.4:
            chosen.append(self.chance.choice(chosen))
        if self.chance.random() < 0.3:
            chosen.append(Shard(self.chance.randrange(1, OTHER_SHARDS + 1), OTHER_SHARDS))
        return chosen

    def all_at_once(self, shards: list[Shard], plan: Plan, kills: dict[int, int] | None = None) -> None:
        """Run these shards at the same time; at the request with this number, the run with this index is killed."""
        before = {path: path.read_bytes() for path in self.files()}
        pids: dict[int, int] = {}
        signals = dict(kills or {})
        lock = threading.Lock()

        def rule(request: Request) -> Effect:
            effect = plan.rule(request)
            with lock:
                due = [signals.pop(number) for number in list(signals) if number <= request.number]
            for index in due:
                with suppress(ProcessLookupError, KeyError):
                    kill(pids[index], signal.SIGKILL)
            return effect

        if plan.surprise_at:
            plan.surprise = partial(move_on, self.clinic, self.chance)
        self.proxy.begin(rule)
        with ThreadPoolExecutor(len(shards)) as pool:
            ended = list(pool.map(lambda numbered: self.start(*numbered, pids), enumerate(shards)))
        plan.surprise_once()
        self.proxy.begin()
        self.report.faults += plan.made
        for path, content in before.items():
            self.wrong(lost_lines(content, path.read_bytes()), plan)
        for shard, run in zip(shards, ended, strict=True):
            self.report.runs += 1
            self.report.ends[run.returncode] += 1
            rivals = [other for other in shards if other == shard]
            self.wrong(self.wrong_end(shard, run, plan, alone=len(rivals) == 1), plan)

    def start(self, index: int, shard: Shard, pids: dict[int, int]) -> "subprocess.CompletedProcess[str]":
        """One process of the copier."""
        folder = self.clinic.manifest.parent / f"run {index}"
        folder.mkdir(exist_ok=True)
        arguments = ["--engine", self.engine, "--shard", str(shard), "--workers", str(self.chance.choice(WORKERS))]
        environment = self.clinic.environment | {"AWS_ENDPOINT_URL_S3": self.proxy.endpoint}
        begin = partial(pids.__setitem__, index)
        return run_copier([str(self.clinic.manifest), *arguments], environment, folder, begin, control=self.control)

    def wrong(self, sentences: Iterator[str] | list[str], plan: Plan) -> None:
        """Note what is wrong with a run."""
        self.report.wrong += [f"run {self.report.runs} ({dict(plan.made)}): {sentence}" for sentence in sentences]

    def wrong_end(
        self, shard: Shard, ended: "subprocess.CompletedProcess[str]", plan: Plan, *, alone: bool
    ) -> Iterator[str]:
        """What is wrong with the end of one run, which may have been refused because another one has its shard."""
        code = ended.returncode
        if code == -signal.SIGKILL:
            self.report.kills += 1
            return
        if code not in ({0, 1, 2} if plan.made or not alone else {0, 1}) or "Traceback" in ended.stderr:
            yield f"shard {shard} ends with {code} and says {ended.stderr[-600:]!r}"
        if SURNAME in ended.stdout + ended.stderr:
            yield "it prints a name"
        if code in (0, 1) and alone:
            lines, wrong = read_lines(shard.beside(self.merged))
            yield from wrong
            first, last = shard.rows(len(self.clinic.cases))
            of_run = [line for line in lines if line["run_id"] == lines[-1]["run_id"]]
            newest = {line["image_id"]: line["outcome"] for line in of_run}
            if newest.keys() != {case.row.image_id for case in self.clinic.cases[first - 1 : last]}:
                yield f"shard {shard} ends with {code}, but has not a line for each row of its part and for no other"
            elif code != any(outcome not in DONE for outcome in newest.values()):
                yield f"shard {shard} ends with {code}, but its outcomes are {Counter(newest.values())}"
            self.report.failed += sum(outcome == "failed" for outcome in newest.values())

    def merge(self, files: list[Path]) -> str:
        """Merge these files; returns what is said."""
        ended = subprocess.run(
            [sys.executable, MERGE, *map(str, files)],
            env=self.clinic.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode:
            self.report.wrong.append(f"merging ends with {ended.returncode} and says {ended.stderr[-300:]!r}")
        return ended.stdout

    def tear(self) -> None:
        """Cut off the last line of a shard's file, as a power cut does."""
        path = self.chance.choice(self.files())
        path.write_bytes(path.read_bytes()[: -self.chance.randrange(1, 20)])
        self.torn += 1

    def judge(self) -> None:
        """Merge everything, twice; then compare the merged results with the store, and with the shards' files."""
        self.merge(self.chance.sample(self.files(), len(self.files())))
        if "   added 0   " not in self.merge(self.files()):
            self.report.wrong.append("merging again adds lines")
        recorded: Counter[bytes] = Counter()
        for path in self.files():
            recorded += Counter(whole_lines(path))
        merged = Counter(whole_lines(self.merged))
        if recorded - merged or (merged - recorded).total() > self.torn:
            self.report.wrong.append("the merged results have not exactly the lines of the shards")
        self.report.wrong += violations(self.clinic, [self.merged])


def whole_lines(path: Path) -> list[bytes]:
    """The lines of results; the last one may be torn, if its shard has not run again."""
    return [line for line in path.read_bytes().splitlines(keepends=True)[1:] if line.endswith(b"\n")]


def torment_shards(driver: Shards, *, rounds: int) -> Report:
    """Run shards at once, kill some, and merge now and then; then let all finish, and judge them."""
    started = time.monotonic()
    chance, objects = driver.chance, len(driver.clinic.cases)
    surprised = chance.randrange(rounds)
    for number in range(rounds):
        shards = driver.some()
        plan = Plan(
            seed=chance.getrandbits(32), rates=RATES, surprise_at=chance.randrange(40, 80) if number == surprised else 0
        )
        kills = {chance.randrange(8, 8 + 3 * objects): index for index in range(len(shards)) if chance.random() < 0.7}
        driver.all_at_once(shards, plan, kills)
        if chance.random() < 0.5:
            driver.merge(chance.sample(driver.files(), chance.randrange(1, len(driver.files()) + 1)))
    driver.tear()
    every = [Shard(number, SHARDS) for number in range(1, SHARDS + 1)]
    driver.all_at_once(chance.sample(every, SHARDS), Plan())
    driver.judge()
    driver.report.seconds = time.monotonic() - started
    return driver.report


def main() -> int:
    """Torment shards of a clinic for each seed, on each engine, every second time blindly; returns 1 if it fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=ENGINES, action="append", help="default: both")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--objects", type=int, default=80, help="in each clinic")
    parser.add_argument("--rounds", type=int, default=6, help="of shards at once, in each clinic")
    options = parser.parse_args()
    passed = True
    print("shards  seed  runs kills  ^C   2  faults  failed  secs  wrong")
    with (
        tempfile.TemporaryDirectory() as name,
        s3_server(Path(name) / "seaweedfs") as environment,
        answering_proxy(environment) as proxy,
    ):
        for engine in options.engine or ENGINES:
            reports = []
            for seed in range(options.first_seed, options.first_seed + options.seeds):
                folder = Path(name) / f"{engine}-{seed}"
                folder.mkdir()
                chance = random.Random(seed)
                clinic = make_clinic(environment, folder, mixture(options.objects), chance)
                driver = Shards(clinic, proxy, engine, chance, BLIND if seed % 2 else "")
                reports.append(torment_shards(driver, rounds=options.rounds))
                tell(engine, str(seed), driver.report)
                for sentence in driver.report.wrong[:20]:
                    print(f"    {sentence}", flush=True)
            together = add(reports)
            tell(engine, "all", together)
            if together.kills < options.rounds * options.seeds // 2 or together.faults.total() < 50 * options.seeds:
                together.wrong.append("too few kills or faults")
                print("  too few kills or faults for a verdict")
            passed &= not together.wrong
    return int(not passed)


if __name__ == "__main__":
    sys.exit(main())
