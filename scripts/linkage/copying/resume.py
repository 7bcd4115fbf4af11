"""What listings and earlier results tell of the manifest's rows, before any request is made for one of them."""

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from linkage.copying.manifest import Summary, source_identity
from linkage.copying.results import Result
from linkage.copying.rules import DONE
from linkage.s3.listing import ListedObject, list_objects

ETAG_BYTES = 40  # what is longer is looked at anew
LISTED_PREFIXES = 100  # of sources, those with the most rows
MOST_PAGES = 10, 10  # of one listing: so many, and one more for so many rows; beyond that, single requests are fewer
RESULTS_AT_ONCE = 50_000
SECOND = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


class KnownCopies:
    """Facts by row, in the manifest's order; memory is about 90 bytes a row, whatever the buckets hold.

    `source_listed`: the source is listed with the manifest's etag and size.
    `listed`: the destination is listed; `etags` has its etag there.
    `verified`: it is listed as an earlier run has verified it: with the same
    etag and size, and, where etags do not tell the bytes, not written since.
    `complete`: the destinations' listings came to their ends.
    """

    def __init__(self, summary: Summary) -> None:
        self.sources = np.frombuffer(summary.sources, dtype=np.int64)
        destinations = np.frombuffer(summary.destinations, dtype=np.int64)
        self.order = np.argsort(destinations).astype(np.int32)
        self.sorted = destinations[self.order]
        self.verified_object = np.zeros(summary.rows, dtype=np.int64)
        self.verified_until = np.zeros(summary.rows, dtype=np.int64)
        self.etags = np.zeros(summary.rows, dtype=f"S{ETAG_BYTES}")
        self.source_listed = np.zeros(summary.rows, dtype=bool)
        self.listed = np.zeros(summary.rows, dtype=bool)
        self.verified = np.zeros(summary.rows, dtype=bool)
        self.complete = True

    def rows(self, destinations: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """Which of these destinations are the manifest's, and at which rows."""
        found, at = find(self.sorted, destinations)
        return found, self.order[at[found]]

    def take_results(self, results: Iterator[Result]) -> None:
        """Note what earlier runs have verified; of several lines about a destination the last one counts."""
        while batch := list(islice(results, RESULTS_AT_ONCE)):
            found, rows = self.rows([hash((result.destination_bucket, result.destination_key)) for result in batch])
            known = [result for result, is_known in zip(batch, found, strict=True) if is_known]
            sources = np.array([source_identity(result) for result in known], dtype=np.int64)
            done = np.array([result.outcome in DONE for result in known], dtype=bool)
            objects = np.array([hash((result.destination_etag, result.size)) for result in known], dtype=np.int64)
            self.verified_object[rows] = np.where(done & (sources == self.sources[rows]), objects, 0)
            self.verified_until[rows] = seconds(result.recorded_at for result in known)

    def take_listings(self, client: Any, summary: Summary, *, etags_tell: bool) -> None:
        """Note what S3 lists of the sources and of the destinations, whose etags are MD5s or tell nothing."""
        for bucket, shared in summary.destination_prefixes.items():
            for page in self.pages(client, bucket, shared[: shared.rfind("/") + 1]):
                self.take_destinations(bucket, page, etags_tell=etags_tell)
        if not self.verified.all():
            self.take_sources(client, summary)

    def take_sources(self, client: Any, summary: Summary) -> None:
        """Note which sources are listed as the manifest has them."""
        sources, places = np.unique(self.sources, return_inverse=True)
        listed = np.zeros(len(sources), dtype=bool)
        for (bucket, prefix), _ in summary.source_prefixes.most_common(LISTED_PREFIXES):
            for page in self.pages(client, bucket, prefix):
                found, at = find(sources, [hash((bucket, one.key, one.etag, one.size)) for one in page])
                listed[at[found]] = True
        self.source_listed = listed[places]

    def take_destinations(self, bucket: str, page: list[ListedObject], *, etags_tell: bool) -> None:
        """Note one page of a destination bucket's listing."""
        found, rows = self.rows([hash((bucket, one.key)) for one in page])
        known = [one for one, is_known in zip(page, found, strict=True) if is_known]
        objects = np.array([hash((one.etag, one.size)) for one in known], dtype=np.int64)
        short = np.array([len(one.etag.encode()) <= ETAG_BYTES for one in known], dtype=bool)
        unchanged = etags_tell | (seconds(one.modified for one in known) <= self.verified_until[rows])
        self.listed[rows] = True
        self.etags[rows] = [one.etag.encode() for one in known]
        self.verified[rows] = (objects == self.verified_object[rows]) & unchanged & short

    def pages(self, client: Any, bucket: str, prefix: str) -> Iterator[list[ListedObject]]:
        """The pages of a listing, as many as are worth their requests."""
        least, rows_of_a_page = MOST_PAGES
        most = least + len(self.sources) // rows_of_a_page
        for number, page in enumerate(list_objects(client, bucket, prefix)):
            if number == most:
                self.complete = False
                return
            yield page


def find(identities: np.ndarray, wanted: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Which of the `wanted` stand in the sorted `identities`, and where each does or would."""
    numbers = np.array(wanted, dtype=np.int64)
    at = np.minimum(np.searchsorted(identities, numbers), len(identities) - 1)
    return identities[at] == numbers, at


def seconds(times: Iterable[str]) -> np.ndarray:
    """Times as whole seconds; what is no time is before all others."""
    texts = [found[0] if (found := SECOND.match(time)) else "0001-01-01T00:00:00" for time in times]
    return np.array(texts, dtype="datetime64[s]").astype(np.int64)
