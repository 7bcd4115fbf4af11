"""Giving batches the new id of a patient who was imported into Nexus again."""

from psycopg import sql

from linkage.nexus.findings import EXPORT_AGAIN, Finding, finding
from linkage.nexus.inserting import ROW_ERRORS, broken_rule
from linkage.nexus.mapping import expression
from linkage.nexus.tables import Nexus


def relink(nexus: Nexus) -> tuple[int, list[Finding]]:
    """Give the staged batches their new patients if all of them are still as they were exported.

    Returns the number of batches changed, and the batches that prevent any change.
    A batch that already has its new patient is neither.
    """
    findings = find_changed_batches(nexus)
    if findings:
        return 0, findings
    try:
        with nexus.connection.transaction():
            return give_patients(nexus, sql.SQL("relink_id")), []
    except ROW_ERRORS:
        return 0, find_refused_batches(nexus)


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


def find_refused_batches(nexus: Nexus) -> list[Finding]:
    """The staged batches whose new patient the database refuses, found by trying one after the other."""
    findings = []
    for key in nexus.execute("select relink_id from linkage_staged_relink").fetchall():
        try:
            with nexus.connection.transaction():
                give_patients(nexus, sql.Literal(key[0]))
        except ROW_ERRORS as error:
            problem = f"it cannot be relinked: the database refuses it ({broken_rule(error)})"
            findings.append(finding("batch", key, problem))
    return findings


def give_patients(nexus: Nexus, batch_id: sql.Composable) -> int:
    """Give the staged batches with this id their new patients; the number of batches changed."""
    batches = nexus.mapping.tables["batches"]
    return nexus.execute(
        """
        update {table} set {column} = cast(relink_new_patient_id as {type})
        from linkage_staged_relink
        where
            relink_id = {batch_id}
            and lower(cast({id} as text)) = relink_id
            and lower(cast({patient_id} as text)) = relink_patient_id
        """,
        batch_id=batch_id,
        table=nexus.table("batches"),
        column=sql.Identifier(batches.relink),
        type=sql.SQL(nexus.columns["batches"][batches.relink].type),
        id=expression(batches.read["id"], nexus.values),
        patient_id=expression(batches.read["patient_id"], nexus.values),
    ).rowcount
