"""Copying under faults: a clinic from a seed, runs that are killed, stopped or deceived, and the oracle's verdict.

`make faults` is the gate. It prints a table, and exits with 1 if anything was
lost, duplicated, overwritten or reported falsely, or if too few kills or faults
happened for a verdict.
"""

import argparse
import csv
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from linkage.copying.manifest import COLUMNS, ManifestRow
from linkage.seeds import make_missing_seeds
from sandbox.s3_server import client, s3_server
from tests.support.copier_process import run_copier
from tests.support.copy_oracle import DONE, Case, Clinic, lost_lines, read_lines, versions, violations
from tests.support.proxy import (
    BUCKET,
    COPY,
    ENDED_EARLY,
    ERROR_AFTER,
    EXPIRED,
    GET,
    HALF_ANSWER,
    HANG,
    HANG_AFTER,
    HEAD,
    LIST,
    LOST_ANSWER,
    PUT,
    RESET_BEFORE,
    SLOW_DOWN,
    TAGS,
    WITH_GAPS,
    AnsweringProxy,
    Effect,
    Reply,
    Request,
    answering_proxy,
    fault,
    random_faults,
)

ENGINES = ("crt", "boto3")
DUMP = "filemaker-import/images-bulk-dump/"
SURNAME = "Roe-Testcase"  # in some keys; must never be printed
ODD_NAMES = (f"{SURNAME} (1).jpg", "ü+&=%20'.jpg", "a b~*!;@$,.jpg", "日本 #?.jpg", "plus+plus.jpg")
PART = 5 * 1024 * 1024  # bytes; S3's smallest part
WORKERS = (1, 2, 4, 8, 16, 64)
RATES = {
    COPY: {
        SLOW_DOWN: 0.07,
        "internal error": 0.04,
        "write conflict": 0.04,
        "error in a 200": 0.04,
        RESET_BEFORE: 0.05,
        LOST_ANSWER: 0.07,
        HALF_ANSWER: 0.04,
        ERROR_AFTER: 0.04,
        HANG: 0.004,
        HANG_AFTER: 0.004,
    },
    HEAD: {SLOW_DOWN: 0.06, RESET_BEFORE: 0.05, LOST_ANSWER: 0.03, HANG: 0.002},
    GET: {SLOW_DOWN: 0.04, RESET_BEFORE: 0.03, HALF_ANSWER: 0.04, LOST_ANSWER: 0.02},
    LIST: {"internal error": 0.06, HALF_ANSWER: 0.06, RESET_BEFORE: 0.04, ENDED_EARLY: 0.2, WITH_GAPS: 0.2},
    PUT: {SLOW_DOWN: 0.08, LOST_ANSWER: 0.08, RESET_BEFORE: 0.04},
}
RATES |= {BUCKET: RATES[HEAD], TAGS: RATES[GET]}
NOT_DONE = {COPY: {SLOW_DOWN: 0.2, "internal error": 0.1, RESET_BEFORE: 0.1}, LIST: RATES[LIST]}


# --- the clinic ------------------------------------------------------------------------------------------------------


class Builder:
    """Puts the objects of a clinic's rows into the store."""

    def __init__(self, s3: Any, buckets: list[str], chance: random.Random) -> None:
        self.s3, self.buckets, self.chance = s3, buckets, chance
        self.number = 0

    def row(self) -> ManifestRow:
        """A new row, without its source."""
        self.number += 1
        image_id = str(uuid.UUID(int=self.chance.getrandbits(128)))
        odd = self.number % 7 == 0
        name = f"{self.number} {self.chance.choice(ODD_NAMES)}" if odd else f"{self.number}.jpg"
        folder = f"patients/{self.number % 5}/images/{self.number % 11}"
        return ManifestRow(image_id, self.buckets[0], f"{DUMP}{name}", "", 0, self.buckets[-1], f"{folder}/{name}")

    def bytes(self, most: int = 40_000) -> bytes:
        """Random bytes that no other object has."""
        return b"%d " % self.number + self.chance.randbytes(self.chance.randrange(most))

    def put(self, bucket: str, key: str, body: bytes, image_id: str) -> dict[str, Any]:
        """Put an object."""
        about = {"Metadata": {"recid": image_id}, "ContentType": "image/jpeg"}
        return self.s3.put_object(Bucket=bucket, Key=key, Body=body, **about)

    def put_in_parts(self, bucket: str, key: str, body: bytes, first: int, image_id: str) -> dict[str, Any]:
        """Put an object in two parts, the first one of `first` bytes."""
        target = {"Bucket": bucket, "Key": key}
        about = {"Metadata": {"recid": image_id}, "ContentType": "image/jpeg"}
        upload = {**target, "UploadId": self.s3.create_multipart_upload(**target, **about)["UploadId"]}
        parts = [
            {"PartNumber": number, "ETag": self.s3.upload_part(**upload, PartNumber=number, Body=part)["ETag"]}
            for number, part in enumerate((body[:first], body[first:]), 1)
        ]
        return self.s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})

    def source(self, row: ManifestRow, body: bytes, first: int = 0) -> ManifestRow:
        """Put the row's source, in two parts if the `first` has bytes; returns the complete row."""
        put = partial(self.put_in_parts, first=first) if first else self.put
        found = put(row.source_bucket, row.source_key, body, image_id=row.image_id)
        return row._replace(source_etag=found["ETag"].strip('"'), source_size=len(body))

    def plant(self, row: ManifestRow, body: bytes, first: int = 0) -> str:
        """Put an object at the destination, in two parts if the `first` has bytes; returns its version."""
        put = partial(self.put_in_parts, first=first) if first else self.put
        return put(row.destination_bucket, row.destination_key, body, image_id="planted")["VersionId"]

    def change(self, row: ManifestRow, body: bytes) -> None:
        """Overwrite the source."""
        self.put(row.source_bucket, row.source_key, body, row.image_id)

    def remove(self, row: ManifestRow, *, marker: bool = False) -> None:
        """Delete the source's version, or hide it behind a delete marker."""
        source = {"Bucket": row.source_bucket, "Key": row.source_key}
        version = {} if marker else {"VersionId": self.s3.head_object(**source)["VersionId"]}
        self.s3.delete_object(**source, **version)


Maker = Callable[[Builder], Case]
CHANGE, REMOVE, OCCUPY = "change", "remove", "occupy"


def maker(
    allowed: set[str],
    *,
    body: bytes | None = None,
    more: int = 0,
    first: int = 0,
    becomes: Callable[[bytes], bytes] | None = None,
    removed: bool = False,
    hidden: bool = False,
    planted: Callable[[bytes], bytes] | None = None,
    planted_first: int = 0,
    fate: str = "",
) -> Maker:
    """A kind of row, and the outcomes `allowed` for it.

    The source has this `body`, or else random bytes and `more` zeros, in two
    parts if the `first` has bytes. Then it `becomes` something else, is
    `removed`, or is `hidden` behind a delete marker; and at the destination
    something is `planted`, made from the source's bytes.
    """

    def make(build: Builder) -> Case:
        content = build.bytes() + bytes(more) if body is None else body
        row = build.source(build.row(), content, first)
        if becomes:
            build.change(row, becomes(content))
        if removed or hidden:
            build.remove(row, marker=hidden)
        version = build.plant(row, planted(content), planted_first) if planted else ""
        return Case(row, hashlib.sha256(content).hexdigest(), frozenset(allowed), version, fate)

    return make


def same(body: bytes) -> bytes:
    return body


def longer(body: bytes) -> bytes:
    return body + b"!"


def of_equal_size(body: bytes) -> bytes:
    return body[::-1]


THERE, CONFLICT, CHANGED, MISSING = {"already_present"}, {"conflict"}, {"source_changed"}, {"source_missing"}
plain = maker(DONE)
empty = maker(DONE, body=b"")
there_already = maker(THERE, planted=same)
occupied = maker(CONFLICT, planted=longer)
changed = maker(CHANGED, becomes=longer)
gone = maker(MISSING, removed=True)
LARGE = (
    maker(DONE, more=PART, first=PART),
    maker(THERE, more=PART, planted=same, planted_first=PART),
    maker(THERE, more=PART + 5000, first=PART, planted=same, planted_first=PART + 1000),
)
RESTLESS = (
    maker(DONE | CHANGED, fate=CHANGE),
    maker(DONE | MISSING, fate=REMOVE),
    maker(DONE, fate=OCCUPY),
)
SPECIAL = (
    empty,
    there_already,
    occupied,
    maker(CONFLICT, planted=of_equal_size),
    changed,
    maker(CHANGED, becomes=of_equal_size),
    maker(THERE, becomes=longer, planted=same),
    gone,
    maker(MISSING, hidden=True),
    maker(THERE, removed=True, planted=same),
    maker(CONFLICT | MISSING, removed=True, planted=of_equal_size),
    *RESTLESS,
)


def mixture(objects: int) -> list[Maker]:
    """The makers of this many rows: one of each LARGE, every fifth SPECIAL, the rest plain."""
    makers = [*LARGE, *SPECIAL * max(1, objects // 5 // len(SPECIAL))]
    return makers + [plain] * (objects - len(makers))


def new_buckets(s3: Any, chance: random.Random) -> list[str]:
    """One or two new versioned buckets: for the dump and, in every second clinic, another for the copies."""
    buckets = [f"clinic-{uuid.uuid4()}" for _ in range(chance.choice((1, 2)))]
    for bucket in buckets:
        s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return buckets


def make_clinic(environment: dict[str, str], folder: Path, makers: list[Maker], chance: random.Random) -> Clinic:
    """A clinic with one row from each of these makers, in random order."""
    s3 = client(environment)
    buckets = new_buckets(s3, chance)
    makers = chance.sample(makers, len(makers))

    def make(number: int, maker: Callable[[Builder], Case], seed: int) -> Case:
        build = Builder(s3, buckets, random.Random(seed))
        build.number = number
        return maker(build)

    with ThreadPoolExecutor(8) as pool:
        seeds = [chance.getrandbits(64) for _ in makers]
        cases = list(pool.map(make, range(len(makers)), makers, seeds))
    make_missing_seeds(folder / "data")
    manifest = folder / "manifest.csv"
    with manifest.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *(case.row for case in cases)])
    clinic = Clinic(s3, buckets, DUMP, cases, manifest, environment | {"LINKAGE_DATA": str(folder / "data")})
    clinic.take_originals()
    return clinic


def move_on(clinic: Clinic, chance: random.Random) -> None:
    """Do what the cases' fates say: change or remove sources, and occupy destinations that are still free."""
    build = Builder(clinic.client, clinic.buckets, chance)
    for number, case in enumerate(clinic.cases):
        if case.fate == CHANGE:
            build.change(case.row, build.bytes())
        elif case.fate == REMOVE:
            build.remove(case.row, marker=chance.random() < 0.5)
        elif case.fate == OCCUPY:
            clinic.cases[number] = occupy(clinic, case)
    clinic.take_originals()


def occupy(clinic: Clinic, case: Case) -> Case:
    """Occupy the destination of a case, unless it has been copied by then; returns the new case."""
    at = {"Bucket": case.row.destination_bucket, "Key": case.row.destination_key}
    try:
        found = clinic.client.put_object(**at, Body=b"somebody else's", IfNoneMatch="*")
    except ClientError:
        return case
    return replace(case, planted=found["VersionId"], allowed=frozenset({"conflict"}))


# --- the runs --------------------------------------------------------------------------------------------------------


@dataclass
class Plan:
    """The faults planned for the requests of one run, and what has happened so far.

    `rates` has the probability of each fault by kind of request, `faults` the
    fault of the n-th request (from 1; with `only`, of the n-th of that
    kind), `expire_from` the number of the first
    request whose credentials have expired. At the request number `signal_at`,
    `signal` goes to the process `pid`: before the server is asked, or after it
    has answered, and `signal_delay` seconds later. The request number
    `surprise_at`, and all that come meanwhile, wait until `surprise` has run.
    """

    seed: int = 0
    rates: dict[str, dict[str, float]] = field(default_factory=dict)
    faults: dict[int, str] = field(default_factory=dict)
    only: str = ""
    expire_from: int = 0
    signal: int = signal.SIGKILL
    signal_at: int = 0
    signal_after: bool = False
    signal_delay: float = 0
    surprise_at: int = 0
    surprise: Callable[[], None] | None = None
    pid: int = 0
    signalled: bool = False
    made: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.random_faults = random_faults(self.seed, self.rates, self.made)
        self.lock = threading.RLock()
        self.numbers = count(1)

    def rule(self, request: Request) -> Effect:
        """The proxy's rule while this plan is in force."""
        effect = self.effect(request)
        self.send_signal(request, after=False)
        if 0 < self.surprise_at <= request.number:
            self.surprise_once()
        return effect

    def effect(self, request: Request) -> Effect:
        """What happens to a request."""
        if 0 < self.expire_from <= request.number:
            return fault(EXPIRED, request, self.made)
        number = request.number
        if self.only:
            number = next(self.numbers) if request.kind == self.only else -1
        if number in self.faults:
            return fault(self.faults[number], request, self.made)
        return self.random_faults(request)

    def answered(self, request: Request, reply: Reply) -> Reply:
        """Send the signal that is due after this answer; the reply is unchanged."""
        self.send_signal(request, after=True)
        return reply

    def send_signal(self, request: Request, *, after: bool) -> None:
        """Send the signal, if this request is the one for it and the process has not ended."""
        with self.lock:
            if self.signalled or self.signal_after != after or not 0 < self.signal_at <= request.number:
                return
            self.signalled = True

        def kill() -> None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, self.signal)

        threading.Timer(self.signal_delay, kill).start() if self.signal_delay else kill()

    def surprise_once(self) -> None:
        """Run `surprise`, unless it has run."""
        with self.lock:
            surprise, self.surprise = self.surprise, None
            if surprise:
                surprise()


@dataclass
class Report:
    """What was done to a clinic, and what is wrong."""

    runs: int = 0
    kills: int = 0
    stops: int = 0
    ends: Counter[int] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0


@dataclass
class Driver:
    """Runs the copier through the proxy, and checks after each run what it printed and recorded."""

    clinic: Clinic
    proxy: AnsweringProxy
    engine: str
    chance: random.Random
    control: str = ""
    report: Report = field(default_factory=Report)
    results: list[Path] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)  # of the last run, by kind

    def __post_init__(self) -> None:
        self.results.append(Path(self.clinic.environment["LINKAGE_DATA"]) / "copy_results.csv")

    def run(self, plan: Plan, *arguments: object, path: Path | None = None) -> None:
        """One run under a plan, checked afterwards."""
        path = path or self.results[0]
        before = path.read_bytes() if path.exists() else b""
        ended = self.start(plan, "--results", path, *arguments)
        self.report.runs += 1
        self.report.faults += plan.made
        self.report.ends[ended.returncode] += 1
        after = path.read_bytes() if path.exists() else b""
        found = [*lost_lines(before, after), *self.wrong_end(ended, plan, path)]
        self.report.wrong += [f"run {self.report.runs} ({describe(plan)}): {sentence}" for sentence in found]

    def start(self, plan: Plan, *arguments: object) -> subprocess.CompletedProcess[str]:
        """The copier's process under a plan."""
        command = [str(self.clinic.manifest), "--engine", self.engine, *map(str, arguments)]
        environment = self.clinic.environment | {"AWS_ENDPOINT_URL_S3": self.proxy.endpoint}
        if plan.surprise_at:
            plan.surprise = partial(move_on, self.clinic, self.chance)

        def begin(pid: int) -> None:
            plan.pid = pid
            self.proxy.begin(plan.rule, plan.answered)

        ended = run_copier(command, environment, self.clinic.manifest.parent, begin, control=self.control)
        plan.surprise_once()
        self.requests = Counter(request.kind for request in self.proxy.seen)
        self.proxy.begin()
        return ended

    def wrong_end(self, ended: subprocess.CompletedProcess[str], plan: Plan, path: Path) -> Iterator[str]:
        """What is wrong with the end of a run."""
        code = ended.returncode
        if code is None or "Traceback" in ended.stderr:
            yield f"it ends with {code} and says {ended.stderr[-600:]!r}"
        if SURNAME in ended.stdout + ended.stderr:
            yield "it prints a name"
        if code == -signal.SIGKILL:
            self.report.kills += 1
            return  # its last line may be torn: the next run must set it aside
        expected = {0, 1}
        if plan.signalled and plan.signal == signal.SIGINT:
            expected |= {130}
        if plan.made:
            expected |= {2}
        if code not in expected:
            yield f"it ends with {code} and says {ended.stderr[-300:]!r}"
        errors = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
        if len(errors) != (code == 2):
            yield f"it ends with {code} and says {errors}"
        self.report.stops += code == 130
        lines, wrong = read_lines(path)
        yield from wrong
        if code in (0, 1):
            yield from self.wrong_code(code, lines)

    def wrong_code(self, code: int, lines: list[dict[str, str]]) -> Iterator[str]:
        """What is wrong with the exit code and the lines of a run that was not interrupted."""
        run_id = lines[-1]["run_id"] if lines else ""
        outcomes = [(line["image_id"], line["outcome"]) for line in lines if line["run_id"] == run_id]
        if Counter(image_id for image_id, _ in outcomes) != Counter(case.row.image_id for case in self.clinic.cases):
            yield f"it ends with {code}, but has not one line for each row"
        elif code != any(outcome not in DONE for _, outcome in outcomes):
            yield f"it ends with {code}, but its outcomes are {Counter(outcome for _, outcome in outcomes)}"
        self.report.failed += sum(outcome == "failed" for _, outcome in outcomes)

    def plan(self, **more: Any) -> Plan:
        """A plan with the usual faults."""
        return Plan(**{"seed": self.chance.getrandbits(32), "rates": RATES, **more})

    def workers(self) -> tuple[str, int]:
        """Mostly few requests in flight, so that something is left to do after a kill."""
        return "--workers", self.chance.choice(WORKERS)

    def killed(self, at: int) -> None:
        """A run that is killed at this request: before it, after it, or a moment later; repeated if it ends before."""
        kills = self.report.kills
        for _ in range(3):
            after, delay = self.chance.choice(((False, 0), (True, 0), (True, self.chance.uniform(0, 0.4))))
            self.run(self.plan(signal_at=at, signal_after=after, signal_delay=delay), *self.workers())
            if self.report.kills > kills:
                return

    def stopped(self, at: int) -> None:
        """A run that is stopped by Ctrl-C."""
        self.all_recorded(self.plan(rates=NOT_DONE, signal=signal.SIGINT, signal_at=at))

    def refused(self, at: int) -> None:
        """A run whose credentials expire."""
        self.all_recorded(self.plan(rates=NOT_DONE, expire_from=at))

    def all_recorded(self, plan: Plan) -> None:
        """A run that gets the answer to every copy that is made: it must record them all, however it ends."""
        while self.proxy.present:
            time.sleep(0.01)
        before = self.unrecorded()
        self.run(plan, "--workers", 32)
        if missing := self.unrecorded() - before:
            self.report.wrong.append(f"{describe(plan)}: {len(missing)} copies that were made are not recorded")

    def unrecorded(self) -> set[str]:
        """The copies without a line in the results, as far as S3's answer to the copy proves them."""
        told = {line["image_id"] for line in read_lines(self.results[0])[0] if line["outcome"] in DONE}
        there = {version.key for version in versions(self.clinic.client, self.clinic.buckets[-1], "patients/")}
        return {
            case.row.image_id
            for case in self.clinic.cases
            if case.row.destination_key in there and not case.planted and "-" not in case.row.source_etag
        } - told

    def surprised(self, at: int) -> None:
        """A run during which the clinic changes, and which is killed a little later."""
        self.run(self.plan(surprise_at=at, signal_at=at + self.chance.randrange(5, 60)), "--workers", 64)

    def tear(self) -> None:
        """Truncate the results in their last line, or add part of a line, as a power cut might; then run again."""
        path = self.results[0]
        content = path.read_bytes()
        last = content[content.rstrip(b"\n").rfind(b"\n") + 1 :]
        whole = content if self.chance.random() < 0.5 else content[: -len(last)]
        torn = last[: self.chance.randrange(1, len(last))]
        path.write_bytes(whole + torn)
        self.run(self.plan(rates={COPY: RATES[COPY]}), *self.workers())
        aside = path.with_name(f"{path.name}.torn")
        if not (aside.exists() and aside.read_bytes().endswith(torn + b"\n")):
            self.report.wrong.append("a torn last line is not set aside")

    def lost_results(self) -> None:
        """A run without the results of those before: each object is checked again."""
        path = self.results[0].with_name(f"lost-{len(self.results)}.csv")
        self.results.append(path)
        self.run(self.plan(), path=path)

    def judge(self) -> None:
        """Ask the oracle, after a run without faults."""
        self.report.wrong += violations(self.clinic, [*self.results[1:], self.results[0]])

    def audit(self) -> None:
        """`--verify` must confirm the last run's results, and write nothing."""
        before = self.results[0].read_bytes()
        ended = self.start(Plan(), "--verify", "--results", self.results[0])
        newest = {line["image_id"]: line["outcome"] for line in read_lines(self.results[0])[0]}
        expected = int(any(outcome not in DONE for outcome in newest.values()))
        if ended.returncode != expected or self.requests[COPY] or self.requests[PUT]:
            self.report.wrong.append(f"--verify ends with {ended.returncode}, not {expected}: {ended.stderr[-300:]!r}")
        if self.results[0].read_bytes() != before:
            self.report.wrong.append("--verify writes to the results")


def describe(plan: Plan) -> str:
    """A plan in a few words."""
    if plan.expire_from:
        return f"credentials expired from request {plan.expire_from}"
    if plan.surprise_at:
        return f"surprise at request {plan.surprise_at}"
    if plan.signal_at:
        when = f"{'after' if plan.signal_after else 'before'} request {plan.signal_at}"
        return f"{signal.Signals(plan.signal).name} {when} and {plan.signal_delay:.2f} s"
    return "faults" if plan.rates or plan.faults else "no faults"


def torment(driver: Driver, *, kills: int, faults: int, first_step: int, stops: int = 2) -> Report:
    """Kill, stop and refuse runs, among other faults; then let the last runs finish.

    Half of the kills are at the requests from `first_step` on, one after the other.
    """
    started = time.monotonic()
    chance, report, objects = driver.chance, driver.report, len(driver.clinic.cases)
    share = max(20, 2 * objects // max(1, kills))
    steps = [partial(driver.killed, first_step + number) for number in range(kills // 2)]
    steps += [partial(driver.killed, chance.randrange(12, 12 + share)) for _ in range(kills - kills // 2)]
    for _ in range(stops):
        steps += [partial(kind, chance.randrange(14, 14 + share)) for kind in (driver.stopped, driver.refused)]
    chance.shuffle(steps)
    steps.insert(chance.randrange(2), partial(driver.surprised, chance.randrange(14, 24)))
    for step in steps:
        step()
    driver.run(driver.plan())
    driver.tear()
    while report.kills < kills and report.runs < 5 * kills:
        driver.killed(chance.randrange(1, 11))
    rounds = 0
    while report.faults.total() < faults and rounds < 10:
        driver.lost_results()
        rounds += 1
    driver.run(Plan())
    driver.audit()
    driver.judge()
    report.seconds = time.monotonic() - started
    return report


# --- the gate --------------------------------------------------------------------------------------------------------


def main() -> int:
    """Torment a clinic for each seed, on each engine; returns 1 if anything is wrong, or too little was tried."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=ENGINES, action="append", help="default: both")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--objects", type=int, default=200, help="in each clinic")
    parser.add_argument("--kills", type=int, default=10, help="in each clinic")
    parser.add_argument("--faults", type=int, default=210, help="in each clinic, at least")
    options = parser.parse_args()
    passed = True
    print("engine  seed  runs kills  ^C   2  faults  failed  secs  wrong")
    with (
        tempfile.TemporaryDirectory() as name,
        s3_server(Path(name) / "seaweedfs") as environment,
        answering_proxy(environment) as proxy,
    ):
        for engine in options.engine or ENGINES:
            together = torment_all(options, engine, environment, proxy, Path(name))
            tell(engine, "all", together)
            print(f"  {dict(sorted(together.faults.items()))}", flush=True)
            wanted = options.kills * options.seeds, options.faults * options.seeds
            if together.kills < wanted[0] or together.faults.total() < wanted[1]:
                together.wrong.append("too few kills or faults")
                print("  too few kills or faults for a verdict")
            passed &= not together.wrong
    return int(not passed)


def torment_all(
    options: argparse.Namespace, engine: str, environment: dict[str, str], proxy: AnsweringProxy, parent: Path
) -> Report:
    """Torment a clinic for each seed; returns the reports as one."""
    reports = []
    for index in range(options.seeds):
        seed = options.first_seed + index
        folder = parent / f"{engine}-{seed}"
        folder.mkdir()
        chance = random.Random(seed)
        driver = Driver(make_clinic(environment, folder, mixture(options.objects), chance), proxy, engine, chance)
        first_step = 1 + index * (options.kills // 2)
        reports.append(torment(driver, kills=options.kills, faults=options.faults, first_step=first_step))
        tell(engine, str(seed), driver.report)
        for sentence in driver.report.wrong[:20]:
            print(f"    {sentence}", flush=True)
    return add(reports)


def add(reports: list[Report]) -> Report:
    """All reports as one."""
    names = Report.__dataclass_fields__
    return Report(
        **{
            name: sum((getattr(one, name) for one in reports), start=type(getattr(reports[0], name))())
            for name in names
        }
    )


def tell(engine: str, seed: str, report: Report) -> None:
    """Print one line of the table."""
    print(
        f"{engine:7}{seed:>5}{report.runs:6}{report.kills:6}{report.stops:4}{report.ends[2]:4}"
        f"{report.faults.total():8}{report.failed:8}{report.seconds:6.0f}  {len(report.wrong)}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
