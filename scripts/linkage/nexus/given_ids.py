"""The ids that the database gives to new rows, where the mapping leaves them to it (`found_by`)."""

from typing import LiteralString

from psycopg import sql

from linkage.nexus.findings import ROW_KEYS, Finding, finding
from linkage.nexus.staging import IS_SAME, PARTS
from linkage.nexus.tables import Nexus

# What is wrong with a row that is in Nexus `found` times, or that a later build would not recognise.
PROBLEMS: dict[str, LiteralString] = {
    "batch": """
    case
        when found = 0
            then 'Nexus does not show it with this patient, date and source once it is inserted; correct the mapping'
        when found > 1 then 'another new batch has the same patient, date and source'
    end
    """,
    "image": """
    case
        when found = 0 then 'Nexus does not show it with this S3 key once it is inserted; correct the mapping'
        when found > 1 then 'another new image has the same S3 key'
        when not is_recognised
            then 'Nexus would hold it without its FileMaker id or record number, and the next build would import it '
            || 'again; hold it back, or let the mapping keep and read the record number'
    end
    """,
}
IS_RECOGNISED: dict[str, LiteralString] = {
    "batch": "true",
    "image": "coalesce(bool_and(held.held_filemaker_id in (our.filemaker_id, cast(our.recid as text))), false)",
}


def take_given_ids(nexus: Nexus, kind: str) -> list[Finding]:
    """Give the new rows of this kind, once inserted, their ids in Nexus, and the new images that of their batch.

    Returns the rows that cannot be found again, each of which prevents publishing.
    """
    if not nexus.mapping.tables[PARTS[kind]].found_by:
        return []
    parts = {"new": sql.Identifier(f"linkage_new_{kind}"), "given": sql.Identifier(f"linkage_given_{kind}")}
    nexus.execute(
        """
        create temporary table {given} on commit drop as
        select
            our.number as given_number,
            our.id as our_id,
            min(held.held_id) as given_id,
            count(held.held_id) as found,
            {is_recognised} as is_recognised
        from {new} as our
        left join {held} as held on {is_same}
        group by our.number, our.id
        """,
        held=nexus.held(PARTS[kind]),
        is_same=sql.SQL(IS_SAME[kind]),
        is_recognised=sql.SQL(IS_RECOGNISED[kind]),
        **parts,
    )
    rows = nexus.execute(
        "select {key}, {problem} as problem from {new} as {kind} inner join {given} on given_number = number"
        " where {problem} is not null",
        key=ROW_KEYS[kind],
        problem=sql.SQL(PROBLEMS[kind]),
        kind=sql.Identifier(kind),
        **parts,
    )
    findings = [finding(kind, key, problem) for *key, problem in rows]
    nexus.execute("update {new} as our set id = given_id from {given} where given_number = our.number", **parts)
    if kind == "batch":
        nexus.execute(
            "update linkage_new_image as our set batch_id = given_id from {given} where our_id = our.batch_id", **parts
        )
    return findings
