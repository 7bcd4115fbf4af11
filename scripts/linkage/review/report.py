"""The report for the clinic's owner: one dated page in plain words, to be printed and signed."""

import hashlib
from datetime import date, datetime
from pathlib import Path
from typing import Any

from linkage.errors import UnusableInput
from linkage.paths import manifest_path
from linkage.review.figures import Figures, built_at, is_sample, read_figures
from linkage.review.pages import day
from linkage.review.sentences import DECISIONS, LEFT, UNFINISHED, WAITING, sentence
from linkage.review.site import Site
from linkage.seeds import SEED_COLUMNS

APPENDED = "copy_results"  # a copy run adds to it after the build, and pages show it as it is now
ORDERS = {"mdy": "month, day, year", "dmy": "day, month, year", "ymd": "year, month, day"}
# What was copied and published, and the days on which it was.
DONE = """
select
    count(*) filter (where copy = 'verified') as copied,
    coalesce(sum(source_size) filter (where copy = 'verified'), 0) as bytes,
    min(try_cast(copied_on as date)) filter (where copy = 'verified') as first_copied,
    max(try_cast(copied_on as date)) filter (where copy = 'verified') as last_copied,
    count(published_on) as published,
    min(try_cast(published_on as date)) as first_published,
    max(try_cast(published_on as date)) as last_published,
from memory.shown_image
"""


def write_report(site: Site) -> None:
    """Write `report.html`.

    Raises UnusableInput if the figures do not add up, or a file of the data folder cannot be read.
    """
    figures = read_figures(site)
    [done] = site.rows(DONE)
    built = built_at(site)
    site.write(
        "report.html",
        "report.html",
        figures=figures,
        in_new_system=figures.published["in Nexus"] + figures.published["since the export"],
        waiting=figures.summary["skipped_images"] + figures.published["not yet"],
        files=list_files(site, built),
        built=built,
        done=done,
        copied_on=period(done["first_copied"], done["last_copied"]),
        published_on=period(done["first_published"], done["last_published"]),
        reasons=reasons_for_waiting(figures),
        left=[sentence(LEFT, row["name"], row["count"]) for row in figures.unmatched if row["count"]],
        decisions=[
            (sentence(DECISIONS, row["name"], row["count"]), f"findings/{row['name']}.html")
            for row in figures.findings
            if row["count"] and row["severity"] == "check"
        ],
        notes=sum(row["count"] for row in figures.findings if row["severity"] != "check"),
        settings=settings_in_words(site.settings),
        is_sample=is_sample(site),
    )


def reasons_for_waiting(figures: Figures) -> list[tuple[str, str | None]]:
    """A sentence for each reason for which pictures wait, the commonest first, and the page that lists them."""
    skipped = sorted((row for row in figures.skipped if row["count"]), key=lambda row: -row["count"])
    unfinished = [(sentence(UNFINISHED, state, count), None) for state, count in figures.unfinished.most_common()]
    return [
        *unfinished,
        *((sentence(WAITING, row["name"], row["count"]), f"skipped/{row['name']}.html") for row in skipped),
    ]


def list_files(site: Site, built: datetime) -> list[dict[str, Any]]:
    """What the build read, and the manifest that it wrote, as `describe_file` has it, each with a problem or None.

    It is a problem if a file was written after the build, or does not have the rows that the build read.
    """
    found: list[dict[str, Any]] = []
    for table, path in {
        **{seed: site.data / f"{seed}.csv" for seed in SEED_COLUMNS},
        "copy_manifest": manifest_path(),
    }.items():
        [known] = site.rows(f"select count(*) as count from {table}")
        try:
            file = describe_file(path)
        except FileNotFoundError:
            if known["count"]:
                found.append({"name": path.name, "problem": "missing: run dbt build again"})
            continue
        except OSError as error:
            raise UnusableInput(
                f"{path.name} cannot be read ({error.strerror}): check that you may read the data folder"
            ) from None
        changed = file["rows"] != known["count"] or file["modified"] > built
        problem = "changed after the build: run dbt build again" if changed else None
        if changed and table == APPENDED and file["rows"] >= known["count"]:
            problem = "continued after the build; this report includes it"
        found.append({**file, "problem": problem})
    return found


def describe_file(path: Path) -> dict[str, Any]:
    """Name, number of records, size in bytes, SHA-256 (hex) and time of a CSV file with a header, which is streamed.

    Raises OSError if it cannot be read.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    stat = path.stat()
    return {
        "name": path.name,
        "rows": count_records(path),
        "size": stat.st_size,
        "sha256": digest,
        "modified": datetime.fromtimestamp(stat.st_mtime).astimezone(),
    }


def count_records(path: Path) -> int:
    """How many records a CSV file has after its header, however its lines end; blank lines do not count."""
    records, is_quoted = 0, False
    with path.open(encoding="latin-1") as file:  # every byte is a character, so that nothing is malformed
        for line in file:
            is_blank = line == "\n" and not is_quoted
            is_quoted ^= line.count('"') % 2 == 1
            records += not is_blank and not is_quoted
    return max(records - 1, 0)


def period(first: date | None, last: date | None) -> str:
    """The days from `first` to `last` in words, with a blank before them; empty if they are not known."""
    if not first or not last:
        return ""
    return f" on {day(first)}" if first == last else f" from {day(first)} to {day(last)}"


def settings_in_words(settings: dict[str, str]) -> list[tuple[str, str]]:
    """The settings that decide what is linked and where it goes, each with its name in words."""
    bucket = settings["destination_bucket"]
    today = day(date.fromisoformat(settings["today"]))
    batch_name = f"“18 Oct 2016{settings['batch_name_suffix']}”"
    return [
        ("Dates in the export", f"{ORDERS[settings['filemaker_date_order']]}; after {today}, a date is in the future"),
        ("Original files", f"under {settings['source_prefix'] or 'the whole bucket'}; they are only read"),
        ("Copies", f"in {bucket or 'the bucket of the originals'}, as {settings['destination_key_template']}"),
        ("Files that are pictures", settings["image_extensions"].replace(" ", ", ")),
        ("Batches", f"one per patient and day, named like {batch_name}, with the source {settings['import_source']}"),
        (
            "Pictures of patients who are not in the new system",
            "stay in the dump" + (" and are also copied to unlinked/" if settings["unlinked_policy"] == "copy" else ""),
        ),
        (
            "Record numbers and files",
            "a person has confirmed that they belong together"
            if settings["record_numbers_confirmed"] == "true"
            else "the build found nothing against their belonging together",
        ),
    ]
