"""Data folders of any size, written by DuckDB in seconds."""

from pathlib import Path

import duckdb

from linkage.seeds import make_missing_seeds
from sandbox.settings import DUMP


def write_large_folder(folder: Path, rows: int, patients: int) -> None:
    """Write the seven seeds: `rows` export rows, as many objects, and `patients` patients.

    Their shape is that of the synthetic clinic: five images of a patient on a day,
    one row in a hundred without its patient, one in two hundred without its object.
    Each kind of finding about an export row comes up, of a large dump as many as a
    careless clinic has: a placeholder for a missing picture in the place of a
    thousand images, ten thousand types that are used once, hundreds of mistyped ids.
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

    day = f"date '2016-01-04' + cast(i * 3500 // {rows} as integer)"
    # hardly any at weekends; one in a thousand too late
    to_friday = f"case when i % 997 > 4 and isodow({day}) > 5 then 5 - isodow({day}) else 0 end"
    taken_on = f"{day} + cast(case when i % 1000 = 500 then 100 else {to_friday} end as integer)"
    # one patient in a hundred is not in Nexus; forty images on a day are a large batch
    everybody = patients + patients // 100
    patient = f"case when i % 100000 < 40 then i // 100000 else i // 5 % {everybody} end"
    # the same bytes as the image before it, or of the patient before, or in the place of a missing picture
    picture = """case when i % 1000 = 17 then 17 when i % 500 = 8 then i - 1 when i % 500 = 9 then i - 5 else i end"""
    write(
        "filemaker_images_metadata",
        f"""
        select i + 2 as recid,
            {uuid(f"'patient' || ({patient})")} as "id_Contact",
            month(d) || '/' || day(d) || '/' || year(d) as "date",
            case when i % 100 = 2 then 'R-Brannock, ' || (i // 100) when i % 2000 = 11 then 'Medicare Card'
                when i % 3 = 0 then 'Dorsal' when i % 50 = 1 then 'R-Brannock, ' || (i % 290) else 'Plantar' end
                as "Type",
            '' as "Note", {uuid("'image' || i")} as id,
            'IMG_' || (i % 10000) || case when i % 20 = 7 then '.png' else '.JPG' end as "fileName",
            case when i % 4 = 0 then '?' else 'foot' end as "Name_of_file", '1/1/2026 10:00:00' as "NexusExportDate"
        from (select i, {taken_on} as d from range({rows}) as numbers (i))
        """,
    )
    write(
        "s3_inventory",
        f"""
        select 'clinic' as bucket,
            '{DUMP}' || (i + case when i % 200 = 3 then 2000000000 else 2 end)
                || case when i % 20 = 7 then '.png' else '.jpg' end as "key",
            case when i % 5000 = 21 then 512 when i % 5000 = 22 then 60000000 else 30000 + picture % 977 end as size,
            md5('object' || picture) as etag, '2026-01-01T10:00:00Z' as last_modified, 'STANDARD' as storage_class
        from (select i, {picture} as picture from range({rows}) as numbers (i))
        """,
    )
    write(
        "nexus_patients",
        f"""
        select lower({uuid("'nexus' || i")}) as patient_id, lower({uuid("'patient' || i")}) as filemaker_id
        from range({patients}) as numbers (i)
        union all
        select lower({uuid("'nexus' || i")}), case i % 4 when 0 then '{{' || id || '}}'
            when 1 then substr(id, 2, 1) || substr(id, 1, 1) || substr(id, 3) else substr(id, 1, 35) || 'A' end
        from (select i, {uuid("'patient' || i")} as id from range({patients}, {everybody}) as numbers (i))
        """,
    )
