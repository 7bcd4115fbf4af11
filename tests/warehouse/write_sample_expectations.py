"""Write what the sample's marts should be: `PYTHONPATH=scripts python -m tests.warehouse.write_sample_expectations`.

They come from the second implementation of the rules (`tests/support/oracle.py`,
`oracle_findings.py`) with the default settings, and are written to `seeds/sample/expected/`. The sample gives the
same results on any day from 2026-01-01 on: all its dates are earlier, except one in 2999.
"""

import csv
from datetime import date

from linkage.paths import SAMPLE_FOLDER
from tests.support.oracle import ORDERED_MARTS, comparable
from tests.support.oracle_findings import MART_COLUMNS, expected_marts


def main() -> None:
    """Write one CSV file per mart, sorted where the mart itself has no order."""
    folder = SAMPLE_FOLDER / "expected"
    folder.mkdir(exist_ok=True)
    for mart, rows in expected_marts(SAMPLE_FOLDER, {"today": date(2026, 1, 1)}).items():
        with (folder / f"{mart}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(MART_COLUMNS[mart])
            writer.writerows(rows if mart in ORDERED_MARTS else comparable(rows))
        print(f"{mart}: {len(rows)} rows")


if __name__ == "__main__":
    main()
