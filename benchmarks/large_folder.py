"""Data folders of any size, written by DuckDB in seconds."""

from pathlib import Path

import duckdb

from linkage.seeds import make_missing_seeds
from sandbox.settings import DUMP


def write_large_folder(folder: Path, rows: int, patients: int) -> None:
    """Write the seven seeds: `rows` export rows, as many objects, and `patients` patients.

    Their shape is that of the synthetic clinic: five images of a patient on a day,
    one row in a hundred without its patient, one in two hundred without its object.
    """
    make_missing_seeds(folder)
    connection = duckdb.connect()
    connection.execute("set enable_progress_bar = false")

    def uuid(name: str) -> str:
        digest = f"upper(md5({name}))"
        return "||'-'||".join(
            f"substr({digest}, {start}, {length})" for start, length in ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
        )

    def write(seed: str, query: str) -> None:
        connection.execute(f"copy ({query}) to '{folder / seed}.csv' (format csv, header true)")

    day = "date '2016-01-04' + cast(i * 3500 // $rows as integer)"
    write(
        "filemaker_images_metadata",
        f"""
        select i + 2 as recid,
            {uuid(f"'patient' || (i // 5 % {patients + patients // 100})")} as "id_Contact",
            month(d) || '/' || day(d) || '/' || year(d) as "date",
            case when i % 3 = 0 then 'Dorsal' when i % 50 = 1 then 'R-Brannock, ' || (i % 290) else 'Plantar' end
                as "Type",
            '' as "Note", {uuid("'image' || i")} as id,
            'IMG_' || (i % 10000) || case when i % 20 = 7 then '.png' else '.JPG' end as "fileName",
            case when i % 4 = 0 then '?' else 'foot' end as "Name_of_file", '1/1/2026 10:00:00' as "NexusExportDate"
        from (select i, {day.replace("$rows", str(rows))} as d from range({rows}) as numbers (i))
        """,
    )
    write(
        "s3_inventory",
        f"""
        select 'clinic' as bucket,
            '{DUMP}' || (i + case when i % 200 = 3 then 2000000000 else 2 end)
                || case when i % 20 = 7 then '.png' else '.jpg' end as "key",
            30000 + i % 977 as size, md5('object' || i) as etag, '2026-01-01T10:00:00Z' as last_modified,
            'STANDARD' as storage_class
        from range({rows}) as numbers (i)
        """,
    )
    write(
        "nexus_patients",
        f"""
        select lower({uuid("'nexus' || i")}) as patient_id, lower({uuid("'patient' || i")}) as filemaker_id
        from range({patients}) as numbers (i)
        """,
    )
