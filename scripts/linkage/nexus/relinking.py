"""Giving batches the new id of a patient who was imported into Nexus again."""

from functools import partial

from psycopg import sql

from linkage.nexus.connection import first_row
from linkage.nexus.findings import EXPORT_AGAIN, Finding, finding
from linkage.nexus.inserting import change_rows, row_key
from linkage.nexus.mapping import expression
from linkage.nexus.tables import Nexus


def relink(nexus: Nexus) -> tuple[int, list[Finding]]:
    """Give the staged batches their new patients if all of them are still as they were exported.

    Returns the number of batches changed, and the batches that prevent any change, or
    the first that the database refuses to change. A batch that already has its new
    patient is neither. The changed ones are in the table linkage_relinked.

    Raises psycopg.Error for what is due to no batch, such as a missing privilege.
    """
    findings = find_changed_batches(nexus)
    if findings:
        return 0, findings
    batches = nexus.mapping.tables["batches"]
    nexus.execute(
        """
        create temporary table linkage_relinked on commit drop as
        select
            relink_id,
            relink_patient_id,
            relink_new_patient_id,
            cast(batches.{column} as text) as previous_patient_id,
            row_number() over (order by relink_id) as number
        from linkage_staged_relink
        inner join {batches} as batches on batches.held_id = relink_id and batches.held_patient_id = relink_patient_id
        """,
        column=sql.Identifier(batches.relink),
        batches=nexus.held("batches"),
    )
    (count,) = first_row(nexus.execute("select count(*) from linkage_relinked"))
    refusal = change_rows(nexus, partial(give_patients, nexus), count)
    if not refusal:
        return count, []
    number, rule = refusal
    key = row_key(nexus, sql.SQL("relink_id"), "linkage_relinked", "relinked", number)
    return 0, [finding("batch", key, f"it cannot be relinked: the database refuses it ({rule})")]


def find_changed_batches(nexus: Nexus) -> list[Finding]:
    """The staged batches that are no longer as they were exported, or whose new patient is gone."""
    rows = nexus.execute(
        """
        with images_in_batches as (
            select held_batch_id, md5(string_agg(held_id, ',' order by held_id collate "C")) as image_ids_md5
            from {images} as images
            where held_batch_id in (select relink_id from linkage_staged_relink)
            group by held_batch_id
        )
        select relink_id, case
            when batches.held_id is null then 'it is no longer in Nexus'
            when new_patient.id is null
                then 'its patient ' || relink_new_patient_id || ' is no longer in Nexus'
            when batches.held_patient_id = relink_new_patient_id then null
            when batches.held_patient_id is distinct from relink_patient_id or patient.id is not null
                then 'its patient is not the exported one, or exists again; a person must check it'
            when images_in_batches.image_ids_md5 is distinct from relink_image_ids_md5
                then 'its images are not the exported ones; ' || {export_again}
        end as problem
        from linkage_staged_relink
        left join {batches} as batches on batches.held_id = relink_id
        left join {patients} as patient on patient.patient_key = relink_patient_id
        left join {patients} as new_patient on new_patient.patient_key = relink_new_patient_id
        left join images_in_batches on images_in_batches.held_batch_id = relink_id
        """,
        images=nexus.held("images"),
        batches=nexus.held("batches"),
        patients=nexus.patients(),
        export_again=sql.Literal(EXPORT_AGAIN),
    )
    return [finding("batch", key, f"it cannot be relinked: {problem}") for *key, problem in rows if problem]


def give_patients(nexus: Nexus, first: int, last: int) -> sql.Composed:
    """The statement that gives the batches of linkage_relinked with these numbers their new patients."""
    batches = nexus.mapping.tables["batches"]
    return sql.SQL(
        """
        update {table} set {column} = cast(relink_new_patient_id as {type})
        from linkage_relinked
        where
            linkage_relinked.number between {first} and {last}
            and lower(cast({id} as text)) = relink_id
            and lower(cast({patient_id} as text)) = relink_patient_id
        """
    ).format(
        first=sql.Literal(first),
        last=sql.Literal(last),
        table=nexus.table("batches"),
        column=sql.Identifier(batches.relink),
        type=sql.SQL(nexus.columns["batches"][batches.relink].type),
        id=expression(batches.read["id"], nexus.values),
        patient_id=expression(batches.read["patient_id"], nexus.values),
    )
