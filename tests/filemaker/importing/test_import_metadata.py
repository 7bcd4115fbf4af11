"""The metadata of all records, as the seed has them, and never of fewer."""

import csv

import pytest

from linkage.seeds import SEED_COLUMNS
from sandbox.filemaker_server import Record
from tests.support.importing import data_file, dump, marked, pictures, record, use

SEED = "filemaker_images_metadata.csv"


def rows(path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def test_the_seed_has_all_records_with_filemakers_values(server, s3, import_here):
    values = {
        "Type": "Dorsal\nleft\tside, \"x\"", "Note": "one\r\ntwo\vthree", "date": "5/3/2017", "id_Contact": "",
        "id": "0F0E2B1C-0000-4000-8000-0123456789AB", "fileName": " ü 日本.jpg", "Name_of_file": "?",
    }  # fmt: skip
    use(server, [record(7, **values), record(8, {}), record(9, NexusExportDate="01/02/2024")])
    assert import_here().returncode == 1  # record 8 has no picture
    path = data_file(s3, SEED)
    assert path.read_bytes().split(b"\n", 1)[0].decode() == ",".join(SEED_COLUMNS[SEED.removesuffix(".csv")])
    assert path.stat().st_mode & 0o777 == 0o600
    seven, eight, nine = rows(path)
    assert seven | {"NexusExportDate": ""} == {
        **values, "recid": "7", "Type": "Dorsal\nleft side, \"x\"", "Note": "one\ntwo\nthree", "NexusExportDate": "",
    }  # fmt: skip
    assert seven["NexusExportDate"] == server.records[1007].fields["NexusExportDate"] != ""
    assert (eight["recid"], eight["NexusExportDate"], eight["date"]) == ("8", "", "10/18/2016")
    assert (nine["recid"], nine["NexusExportDate"]) == ("9", "01/02/2024")


def test_numbers_are_written_as_filemaker_writes_them(server, s3, import_here):
    """JSON has them without quotation marks; read as floats they would become others."""
    use(server, [record(1, {}, NexusExportDate="1")], Note="number")
    answer = server.answer

    def write(*call):
        found = answer(*call)
        found.body = found.body.replace(b'"Note": ""', b'"Note": 12345678901234567890.120')
        return found

    server.answer = write
    assert import_here().returncode == 0
    assert rows(data_file(s3, SEED))[0]["Note"] == "12345678901234567890.120"


@pytest.mark.parametrize("option", [(), ("--dry-run",)])
def test_a_layout_without_a_record_is_refused_and_an_older_seed_stays(server, s3, import_here, option):
    """It shows another table, or the account sees none of its records; the seed would lose all of them."""
    use(server, [record(1)])
    assert import_here().returncode == 0
    path = data_file(s3, SEED)
    before = path.read_bytes()
    use(server, [])
    run = import_here(*option)
    assert run.returncode == 2
    assert run.stderr == (
        "error: the layout API_Images has no record; check which table it shows, and what the account may see\n"
    )
    assert path.read_bytes() == before
    assert not server.sessions


def test_repetitions_are_joined(server, s3, import_here):
    use(server, [record(1)])
    show = server.field_data

    def repeat(one, token, iso):
        shown = show(one, token, iso)
        shown.pop("Note")
        return {**shown, "Note(1)": "first", "Note(2)": "", "Note(3)": "third", "Note(4)": ""}

    server.field_data = repeat
    assert import_here().returncode == 0
    assert rows(data_file(s3, SEED))[0]["Note"] == "first\n\nthird"


def test_a_missing_column_stays_empty(server, s3, import_here, tmp_path):
    use(server, [record(5)], recid="", Note="", Type="")
    out = tmp_path / "elsewhere.csv"
    assert import_here("-o", out).returncode == 0
    assert rows(data_file(s3, SEED)) == []  # the header of a seed that is missing
    assert rows(out)[0] | {"NexusExportDate": ""} == {
        **dict.fromkeys(SEED_COLUMNS[SEED.removesuffix(".csv")], ""),
        "recid": "1005", "id_Contact": "A" * 8, "date": "10/18/2016",
    }  # fmt: skip


@pytest.mark.parametrize("count", [1, 99, 100, 101, 199, 200, 201])
def test_every_page_is_read(server, s3, import_here, count):
    use(server, [record(number, {}, NexusExportDate="01/02/2024") for number in range(1, count + 1)])
    run = import_here()
    assert run.returncode == 0
    assert f"{count:,} records: {count:,} marked, 0 to import\n" in run.stdout
    assert [row["recid"] for row in rows(data_file(s3, SEED))] == [str(number) for number in range(1, count + 1)]


def delete(server) -> None:
    del server.records[min(server.records)]


def delete_last(server) -> None:
    del server.records[max(server.records)]


def create(server) -> None:
    number = max(server.records) + 1
    server.records[number] = Record(number, record(number).fields | {"NexusExportDate": "1"})


def replace(server) -> None:
    """The count stays."""
    delete(server)
    create(server)


@pytest.mark.parametrize("change", [delete, delete_last, create, replace])
@pytest.mark.parametrize("page", [1, 2])
def test_a_record_that_comes_or_goes_while_all_are_read_hides_no_other(server, s3, import_here, change, page):
    use(server, [record(number, {}, NexusExportDate="01/02/2024") for number in range(1, 251)])
    pages = []

    def shift(method: str, path: str) -> None:
        if path.endswith("/records"):
            pages.append(path)
            if len(pages) in (page, page + 8):  # of the first reading, and of a later one
                change(server)

    server.faults.on_call = shift
    assert import_here().returncode == 0
    found = [row["recid"] for row in rows(data_file(s3, SEED))]
    assert found == [str(one.fields["recid"]) for _, one in sorted(server.records.items())]
    assert len(pages) > 6


def test_where_records_come_and_go_all_the_time_no_seed_is_written(server, s3, import_here):
    use(server, [record(number, {}, NexusExportDate="01/02/2024") for number in range(1, 151)])
    server.faults.on_call = lambda method, path: create(server) if path.endswith("/records") else None
    run = import_here()
    assert run.returncode == 2
    assert "records were created or deleted in FileMaker each of the 5 times that all were read" in run.stderr
    assert run.stderr.count("\n") == 1
    assert rows(data_file(s3, SEED)) == []


def test_an_older_seed_stays_where_the_run_cannot_read_all(server, s3, import_here):
    use(server, pictures(2))
    assert import_here().returncode == 0
    before = data_file(s3, SEED).read_bytes()
    use(server, pictures(3))

    def end(method: str, path: str) -> None:
        if len(marked(server)) == 3:
            server.faults.kinds, server.faults.rate = ("data_limit",), 1

    server.faults.on_call = end
    assert import_here("--workers=1").returncode != 0
    assert marked(server) == {1, 2, 3}
    assert data_file(s3, SEED).read_bytes() == before


def test_an_account_that_does_not_see_all_records_is_refused(server, s3, import_here):
    use(server, pictures(3))
    show = server.show

    def hide(records, found, call, fault, asked):
        answer = show(records[:2], 2, call, fault, asked)
        return answer

    server.show = hide
    run = import_here()
    assert run.returncode == 2
    assert run.stderr == "error: the account sees 2 of 3 records; give its privilege set access to all of them\n"
    assert not dump(s3) and not marked(server)
