"""The contact sheet of `--sample N`: pictures over all patients, for a first look before the full copy."""

from linkage.review.parts import in_folder, write_parts
from linkage.review.site import Site

# An image that is there twice, because Nexus has it for two records, has one place.
SAMPLE = """
select shown_image.*
from memory.sample
inner join memory.shown_image on shown_image.image_id = sample.image_id and shown_image.outcome <> 'skipped'
order by place, recid
"""


def write_sample(site: Site) -> None:
    """Write `sample.html`, and further parts where there are more than 500 pictures."""
    [counted] = site.rows(f"select count(*) as count, count(distinct person) as people from ({SAMPLE})")
    rows = site.rows(SAMPLE)
    write_parts(site, in_folder("sample"), "sample.html", rows, counted["count"], counted=counted)
