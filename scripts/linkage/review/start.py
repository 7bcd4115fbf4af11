"""The start page: the way of the data in figures that add up, and charts."""

from collections import Counter
from typing import Any

from linkage.review.charts import Bars, label_text, write_chart
from linkage.review.figures import Figures, built_at, is_sample, read_figures
from linkage.review.lists import CHANGE_KINDS
from linkage.review.site import Site

SHOWN_YEARS = 30
SHOWN_CATEGORIES = 15
LONGEST_CATEGORY = 80  # characters
# Numbers of images in a batch that have a bar of their own; larger batches share the others.
SINGLE_SIZES = 10
SHARED_SIZES = [(11, 15, "11–15"), (16, 20, "16–20"), (21, 30, "21–30"), (31, None, "31 or more")]


def write_start(site: Site) -> None:
    """Write `index.html` and its charts; raises UnusableInput if the figures do not add up."""
    figures = read_figures(site)
    changes = [
        {"name": name, "meaning": meaning, "count": figures.summary[f"changes_{name}"]}
        for name, (meaning, _) in CHANGE_KINDS.items()
    ]
    site.write(
        "index.html",
        "index.html",
        figures=figures,
        steps=way_of_the_data(figures),
        changes=changes,
        first_build=not figures.summary["rows_of_last_build"],
        built=built_at(site),
        is_sample=is_sample(site),
        charts=write_charts(site),
    )


def way_of_the_data(figures: Figures) -> list[dict[str, Any]]:
    """The steps of the data: a total each, and parts that add up to it, with a sign and a page where there is one."""
    summary, copies, published = figures.summary, figures.copies, figures.published
    return [
        step(
            "FileMaker’s export",
            "row",
            ("linked", summary["linked_images"], "ok", "patients.html"),
            ("already linked", summary["already_linked_images"], "note", "patients.html"),
            ("skipped", summary["skipped_images"], "wait", "skipped.html"),
        ),
        step(
            "Dump in S3",
            "object",
            ("linked", summary["linked_objects"], "ok", "patients.html"),
            ("already linked", summary["already_linked_objects"], "note", "patients.html"),
            ("unmatched", summary["unmatched_objects"], "wait", "unmatched.html"),
        ),
        step(
            "Copies of linked images",
            "image",
            ("copied and verified", copies["verified"], "ok", None),
            ("failed", copies["failed"], "check", None),
            ("held back since the build", copies["held"], "wait", "held.html"),
            ("to do", copies["to_do"], "rest", None),
        ),
        step(
            "Images for Nexus",
            "image",
            ("in Nexus when it was exported", published["in Nexus"], "note", "patients.html"),
            ("published since", published["since the export"], "ok", "patients.html"),
            ("not published yet", published["not yet"], "rest", None),
        ),
    ]


def step(name: str, unit: str, *parts: tuple[str, int, str, str | None]) -> dict[str, Any]:
    """A step of the way, with the total of its parts, which `read_figures` has compared with import_summary."""
    shown = [dict(zip(("label", "count", "sign", "page"), part, strict=True)) for part in parts]
    return {"name": name, "unit": unit, "total": sum(part[1] for part in parts), "parts": shown}


def write_charts(site: Site) -> list[dict[str, Any]]:
    """Write the charts of the linked and already linked images; returns what the page shows of each."""
    made = []
    for name, heading, column, bars in (
        ("years", "Images per year", "Year", years(site)),
        ("batches", "Batches by number of images", "Images in the batch", batch_sizes(site)),
        ("categories", "Most frequent categories", "Category", categories(site)),
    ):
        if bars:
            height = write_chart(site, name, bars, lying=name == "categories")
            label, most = max(bars, key=lambda bar: bar[1])
            made.append(
                {
                    "name": name,
                    "heading": heading,
                    "column": column,
                    "unit": "Batches" if name == "batches" else "Images",
                    "height": height,
                    "alt": f"Bar chart: {heading}. The longest bar is {label}, with {most:,}. All numbers follow.",
                    "bars": bars,
                }
            )
    return made


def years(site: Site) -> Bars:
    """Numbers of images by year, up to the last one; years before the last 30 share a bar."""
    query = """
        select year(captured_date) as year, count(*) as count
        from memory.shown_image
        where outcome <> 'skipped'
        group by all
    """
    counts = Counter({row["year"]: row["count"] for row in site.rows(query)})
    undated = [("no date", counts.pop(None))] if None in counts else []
    if not counts:
        return undated
    last = max(counts)
    first = max(min(counts), last - SHOWN_YEARS + 1)
    before = sum(count for year, count in counts.items() if year < first)
    earlier = [(f"before {first}", before)] if before else []
    return [*earlier, *((str(year), counts[year]) for year in range(first, last + 1)), *undated]


def batch_sizes(site: Site) -> Bars:
    """Numbers of batches by how many images of the export they have."""
    query = """
        select size, count(*) as count
        from (
            select count(*) as size
            from memory.shown_image
            where outcome <> 'skipped' and batch_id is not null
            group by batch_id
        )
        group by size
    """
    counts = Counter({row["size"]: row["count"] for row in site.rows(query)})
    largest = max(counts, default=0)
    bars = [(str(size), counts[size]) for size in range(1, min(largest, SINGLE_SIZES) + 1)]
    for low, high, label in SHARED_SIZES:
        if low <= largest:
            bars.append((label, sum(count for size, count in counts.items() if low <= size <= (high or size))))
    return bars


def categories(site: Site) -> Bars:
    """Numbers of images of the 15 most frequent categories, and of all others together."""
    query = """
        select category, count(*) as count
        from memory.shown_image
        where outcome <> 'skipped'
        group by category
        order by category is null, count desc, category
    """
    bars: Bars = []
    others = kinds = missing = 0
    for row in site.rows(query):
        if row["category"] is None:
            missing = row["count"]
        elif len(bars) < SHOWN_CATEGORIES:
            bars.append((label_text(row["category"], LONGEST_CATEGORY), row["count"]))
        else:
            others, kinds = others + row["count"], kinds + 1
    if kinds:
        bars.append((f"{kinds:,} other categories" if kinds > 1 else "1 other category", others))
    return [*bars, ("no category", missing)] if missing else bars
