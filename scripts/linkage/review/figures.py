"""The figures of an import, which are shown only if they add up."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from linkage.errors import UnusableInput
from linkage.review.reading import Row
from linkage.review.site import Site

SAMPLE = "seeds/sample"  # as the setting data_folder has it
# By row of the export, by object, by finding and by change, the metrics of import_summary that count it.
COUNTED = """
select 'export_rows' as metric, count(*) as count from memory.shown_image
union all
select outcome || '_images', count(*) from memory.shown_image group by outcome
union all
select 'skipped_' || reason, count(*) from memory.shown_image where outcome = 'skipped' group by reason
union all
select 'objects', count(*) from memory.shown_object
union all
select outcome || '_objects', count(*) from memory.shown_object group by outcome
union all
select 'unmatched_' || reason, count(*) from memory.shown_object where outcome = 'unmatched' group by reason
union all
select 'finding_' || finding, count(*) from review_findings group by finding
union all
select 'changes_' || change, count(*) from changes_since_last_build group by change
"""
# Metrics that count something else.
UNCOUNTED = {"bytes_to_copy", "image_batches", "objects_outside_prefix", "objects_to_copy", "rows_of_last_build"}
STATES = """
select outcome, copy, published, count(*) as count
from memory.shown_image
where outcome <> 'skipped'
group by all
"""
REASONS = """
select reason as name, meaning, value as count
from stg_reasons
inner join import_summary on metric = $prefix || reason
where applies_to = $applies_to
order by reason_order
"""
FINDINGS = """
select finding as name, stg_findings.severity, meaning, value as count
from stg_findings
inner join import_summary on metric = 'finding_' || finding
order by stg_findings.severity, value desc, finding
"""


@dataclass(frozen=True)
class Figures:
    """Numbers of rows, objects, findings and changes.

    `summary` has those of `import_summary` by metric, and `linked_objects`. `copies` counts the linked rows by the
    state of their copy (verified, failed, held, to_do), and `unfinished` those of them that are not published.
    `published` counts the linked and already linked rows by whether Nexus has them (`in Nexus`, `since the export`,
    `not yet`), `kept` the already linked rows with a verified copy. The lists have one row per kind, zeros included.
    """

    summary: Counter[str]
    copies: Counter[str]
    unfinished: Counter[str]
    published: Counter[str]
    kept: int
    skipped: list[Row]
    unmatched: list[Row]
    findings: list[Row]


def read_figures(site: Site) -> Figures:
    """The figures of the build, of copying and of publishing.

    Raises UnusableInput if import_summary differs from what the pages show, row by row: no page may contradict another.
    """
    summary = Counter({row["metric"]: row["value"] for row in site.rows("select metric, value from import_summary")})
    counted = Counter({row["metric"]: row["count"] for row in site.rows(COUNTED)})
    summary["linked_objects"] = counted["linked_images"]  # import_summary has no such metric: one object per linked row
    for metric in sorted(summary.keys() | counted.keys() - UNCOUNTED):
        if metric not in UNCOUNTED and summary[metric] != counted[metric]:
            raise UnusableInput(
                f"the figures do not add up: {metric} is {summary[metric]:,} in import_summary, but the marts have "
                f"{counted[metric]:,}; run `dbt build` again"
            )
    copies, unfinished, published = Counter[str](), Counter[str](), Counter[str]()
    kept = 0
    for row in site.rows(STATES):
        count, copy = row["count"], row["copy"]
        published[row["published"] or "not yet"] += count
        if row["outcome"] == "linked":
            copies[copy] += count
        elif copy == "verified":
            kept += count
        if not row["published"]:
            unfinished[copy] += count
    return Figures(
        summary,
        copies,
        unfinished,
        published,
        kept,
        skipped=list(site.rows(REASONS, {"prefix": "skipped_", "applies_to": "row"})),
        unmatched=list(site.rows(REASONS, {"prefix": "unmatched_", "applies_to": "object"})),
        findings=list(site.rows(FINDINGS)),
    )


def is_sample(site: Site) -> bool:
    """Whether the marts are those of the project's own sample."""
    return site.settings["data_folder"] == SAMPLE


def built_at(site: Site) -> datetime:
    """When the build ended: the time at which the file with the marts was last written."""
    [file] = site.rows("select path from duckdb_databases() where database_name = 'marts'")
    return datetime.fromtimestamp(Path(file["path"]).stat().st_mtime).astimezone()
