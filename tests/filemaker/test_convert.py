"""`scripts/convert_fm_tab_to_csv.py`: every form of FileMaker's exports, and bad input."""

import os
import re
import subprocess
import sys
from datetime import date, datetime
from itertools import chain, product
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import linkage.settings
from linkage.filemaker.export import date_order
from linkage.filemaker.export.encodings import NAMES, find_encoding
from linkage.paths import PROJECT_ROOT, SAMPLE_FOLDER
from linkage.seeds import SEED_COLUMNS
from tests.support.exports import COLUMNS, FORMS, GOOD_ROW, SEED, UUID, as_seed, read_seed, tab, written

SEPARATORS = {"CR": "\r", "CRLF": "\r\n", "LF": "\n"}
ENCODING_NAMES = {
    "ascii": "ASCII",
    "utf-8": "UTF-8 (",
    "utf-8-sig": "UTF-8 with BOM",
    "utf-16-le": "UTF-16 LE with BOM",
    "utf-16-be": "UTF-16 BE with BOM",
    "mac_roman": "MacRoman (",
    "cp1252": "Windows-1252 (",
}
# made-up values that show what could go wrong
ROWS = [
    ("10/18/2016", "a.jpg", "0A1B2C3D-0000-9000-0000-00000000000F", UUID, "?", "",
     "2", "Dorsal"),
    ("5/3/2017", "NA", "", UUID, "NULL", "1/2/2025", "6,066", ' 5" wound, "left"; \x0bsecond line '),
    ("5/4/2017", "nan", "#", "None", "N/A", "1/2/2025", "06067.0", "one\x1dtwo\x1d\x1dfour\x0b"),
    ("?", "1e5", '"', '""', "'", "TRUE", "007", '"a","b"'),
]  # fmt: skip
ACCENTS = ["Müller’s Fußnagel", "été à l’hôpital – forêt", "corazón, niño, piña", "„Größe“ … Öl", "ÉCOLE", " NA\xa0"]
DELIMITERS = {"\t": "tab", ",": "comma", ";": "semicolon"}
# --- Forms ---


# every pair of form, encoding and separator
PAIRS = [
    (form, list(SEPARATORS)[(place + other) % 3], encoding)
    for (place, form), (other, encoding) in product(enumerate(FORMS), enumerate(ENCODING_NAMES))
]


@pytest.mark.parametrize(("form", "separator", "encoding"), PAIRS)
def test_every_form_gives_the_same_rows(folder, form, separator, encoding):
    rows = [*ROWS]
    if encoding != "ascii":
        rows += [("1/2/2020", f"{n}.jpg", "", "", "", "", str(10 + n), text) for n, text in enumerate(ACCENTS)]
    content = written(form, rows, SEPARATORS[separator])
    found, out = folder.converted(content, name=f"x.{form[:3]}", encoding=encoding)
    assert found == [as_seed(row) for row in rows]
    assert f"encoding          {ENCODING_NAMES[encoding]}" in out
    delimiter, _, has_header = FORMS[form]
    assert f"format            {DELIMITERS[delimiter]}-separated" in out
    assert f"record separator  {separator}\n" in out
    assert f"header            {'yes' if has_header else 'none'}" in out
    assert f"rows              {len(rows)}\n" in out
    assert "inside values     2 VT and 3 GS" in out


@pytest.mark.parametrize("name", ["x.tab", "x.csv", "x.mer", "x.txt", "x"])
def test_the_content_decides_the_form_not_the_name(folder, name):
    for form in ("tab", "csv", "mer with semicolons"):
        assert folder.converted(written(form, ROWS), name=name)[0] == [as_seed(row) for row in ROWS]


def test_commas_in_many_values_of_a_tab_file_do_not_make_it_another_form(folder):
    row = ("1/2/2020", "a,b;c", "a,b;c", "", "a,b;c", "a,b;c", "1,000", "a,b;c")
    assert folder.converted(tab([row] * 3), name="x.csv")[0] == [as_seed(row)] * 3


def test_values_without_quotation_marks_are_read_too(folder):
    content = 'recid,date,Type\r7,1/2/2020,\r8,,"a, b"\r'
    assert [(row[0], row[2], row[3]) for row in folder.converted(content, name="x.csv")[0]] == [
        ("7", "1/2/2020", ""),
        ("8", "", "a, b"),
    ]


@pytest.mark.parametrize("end", SEPARATORS.values(), ids=SEPARATORS)
@pytest.mark.parametrize("times", [0, 3])
def test_the_separator_of_the_last_record_may_be_missing_or_repeated(folder, end, times):
    for form in ("tab", "csv"):
        content = written(form, ROWS, end).removesuffix(end) + times * end
        assert folder.converted(content, name=f"x.{form}")[0] == [as_seed(row) for row in ROWS]


@pytest.mark.parametrize(("separator", "other"), [("CR", "\n"), ("LF", "\r"), ("CRLF", "\r"), ("CRLF", "\n")])
@pytest.mark.parametrize("rows", [1, 5])
def test_another_line_break_inside_a_value_becomes_a_line_feed(folder, separator, other, rows):
    row = ("1/2/2020", f"a{other}b", "", "", f"c{other}{other}d", "", "1", f"e{other}f")
    for form in ("tab", "csv"):
        found, out = folder.converted(written(form, [row] * rows, SEPARATORS[separator]), name=f"x.{form}")
        assert found == [as_seed([value.replace("\r", "\n") for value in row])] * rows
        assert f"record separator  {separator}\n" in out
        cr, lf = (4 * rows, 0) if other == "\r" else (0, 4 * rows)
        assert f"replaced by line feeds, as are {cr} CR; {lf} LF, kept" in out


def test_the_seed_has_the_bytes_that_are_expected(folder):
    folder.converted(tab([*ROWS[:1], ("1/2/2020", "", "", "", "a\x0bb", "", "3", 'x,"y"')]))
    assert folder.out.read_bytes() == (
        b"recid,id_Contact,date,Type,Note,id,fileName,Name_of_file,NexusExportDate\n"
        b"2,F0000000-0000-0000-0000-00000000000A,10/18/2016,Dorsal,,0A1B2C3D-0000-9000-0000-00000000000F,a.jpg,?,\n"
        b'3,,1/2/2020,"x,""y""",,,,"a\nb",\n'
    )


def text_of(characters):
    plain = st.text(st.characters(exclude_characters="\0\ufeff\t\r\n", exclude_categories=("Cs",)), max_size=6)
    signs = ["", '"', '""', ",", ";", "\x0b", "\x1d", "\x01", "\x85", "\u2028", "\x0c\x1c\x1e", "é", "recid"]
    return plain | st.sampled_from([*signs, *characters])


rows_of_tab, rows_of_csv = (
    st.lists(st.tuples(*[text_of(characters)] * 8), min_size=1, max_size=8)
    for characters in ([], ["\t", "a\rb", "\n", "\r\n", '"\r"'])
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    case=st.tuples(st.sampled_from(["tab", "tab with header"]), rows_of_tab)
    | st.tuples(st.sampled_from(["csv", "mer"]), rows_of_csv),
    end=st.sampled_from(list(SEPARATORS.values())),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be"]),
)
def test_random_rows_are_the_same_after_every_form(folder, case, end, encoding):
    form, rows = case
    assume(form not in ("tab", "csv") or sum(value == "recid" for value in rows[0]) < 4)  # else it is a header
    rows = [*rows, *[GOOD_ROW] * len(rows)]
    found, _ = folder.converted(written(form, rows, end), name=f"x.{form[:3]}", encoding=encoding)
    breaks = str.maketrans({"\r": "\n"})
    assert found == [as_seed([value.replace("\r\n", "\n").translate(breaks) for value in row]) for row in rows]


# --- Columns ---


def test_a_header_decides_the_order_in_any_case_and_with_the_name_of_its_table(folder):
    names = ("Images::RECID", " images::type ", "Contacts::Weight", "IMAGES::id contact", "Images::D_ate")
    content = written("tab with header", [("7", "Dorsal", "80 kg", UUID, "1/2/2020")], columns=names)
    found, out = folder.converted(content)
    assert found == [("7", UUID, "1/2/2020", "Dorsal", "", "", "", "", "")]
    assert "header            yes" in out and "dropped columns   Contacts::Weight\n" in out


@pytest.mark.parametrize(
    ("names", "tables"),
    [
        (("recid", "Contacts::date", "Type"), "recid, Type; Contacts::date"),
        (("Images::recid", "Contacts::date", "Type"), "Images::recid; Contacts::date; Type"),
    ],
)
def test_fields_of_several_tables_are_refused(folder, names, tables):
    content = written("tab with header", [("7", "1/2/2020", "Dorsal")], columns=names)
    assert f"takes fields of more than one table ({tables})" in folder.refused(content)
    assert "more than one table" in folder.refused(content, "--columns", "recid,date,Type")
    if names[0] == "recid":
        found, out = folder.converted(content, "--columns", "recid,-,Type")
        assert found[0][:4] == ("7", "", "", "Dorsal")
        assert "dropped columns   Contacts::date\n" in out


def test_a_long_header_is_recognised_by_four_names(folder):
    names = ("a", "b", "c", "d", "recid", "e", "date", "f", "g", "Type", "h", "id Contact", "i")
    content = written(
        "tab with header", [[*"1234", "7", "", "1/2/2020", "", "", "Dorsal", "", UUID, ""]], columns=names
    )
    assert folder.converted(content)[0][0][:4] == ("7", UUID, "1/2/2020", "Dorsal")


def test_a_header_may_agree_with_the_named_columns(folder):
    content = written("tab with header", [("7", "x", "Dorsal")], columns=("recid", "Weight", "Type"))
    assert folder.converted(content, "--columns", "RECID,-,Type")[0][0][:4] == ("7", "", "", "Dorsal")
    assert folder.converted(content, "--columns", "RECID,-,-")[0][0][:4] == ("7", "", "", "")
    assert "disagrees with --columns" in folder.refused(content, "--columns", "Type,-,recid")
    assert "disagrees with --columns" in folder.refused(content, "--columns", "recid,Note,Type")
    assert "disagrees with --columns" in folder.refused(content, "--columns", "recid,-")


def test_named_columns_are_used_where_there_is_no_header(folder):
    found, _ = folder.converted(tab([("7", "80 kg", "a note")]), "--columns", "rec_id, - ,NOTE")
    assert found == [("7", "", "", "", "a note", "", "", "", "")]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("rcid", "recid"), ("contactid", "id_Contact"), ("export date", "NexusExportDate")],
)
def test_an_unknown_name_in_the_columns_is_refused_with_the_nearest_one(folder, name, nearest):
    message = folder.refused("7\t1/2/2020\tx\r", "--columns", f"recid,date,{name}")
    assert f"--columns has '{name}', which is not a column of the seed; the nearest name is {nearest}," in message


def test_the_environment_names_the_export_and_its_columns(folder):
    export = folder.export(f"7\t1/2/2020\t{UUID}\r")
    variables = {"FILEMAKER_EXPORT": str(export), "FILEMAKER_COLUMNS": "recid,date,id_Contact"}
    assert folder.run("-o", folder.out, variables=variables)[0] == 0
    assert read_seed(folder.out)[0][:3] == ("7", UUID, "1/2/2020")
    # an option counts before a variable
    other = folder.export("8\r", "other.tab")
    assert folder.run(other, "-o", folder.out, "--columns", "recid", variables=variables)[0] == 0
    assert read_seed(folder.out)[0][0] == "8"
    code, _, err = folder.run("-o", folder.out, variables=variables | {"FILEMAKER_COLUMNS": "recid,dates,id"})
    assert code == 2 and "FILEMAKER_COLUMNS has 'dates'" in err
    for empty in ({}, {"FILEMAKER_EXPORT": "", "FILEMAKER_COLUMNS": ""}):
        code, out, err = folder.run("-o", folder.out, variables=empty)
        assert (code, out, err.count("\n")) == (2, "", 1) and "FILEMAKER_EXPORT" in err
    assert folder.run(folder.export(tab(ROWS)), "--check", variables={"FILEMAKER_COLUMNS": ""})[0] == 0


def imported(folder, content):
    """The seed in the data folder, as the importer wrote it at noon."""
    folder.data.mkdir()
    seed = folder.data / "filemaker_images_metadata.csv"
    seed.write_text(content, encoding="utf-8")
    os.utime(seed, (noon := datetime(2026, 1, 2, 12, 0).timestamp(), noon))
    return seed


FROM_FILEMAKER = {"FILEMAKER_URL": "https://fms.example"}
HEADER = ",".join(SEED) + "\n"


def test_without_an_export_the_records_are_those_that_the_importer_read(folder):
    seed = imported(folder, content := HEADER + '7,x,1/2/2020,"two\nlines",,,,,\n8,x,1/2/2020,,,,,,\n')
    code, out, err = folder.run(variables=FROM_FILEMAKER)
    assert (code, err) == (0, "")
    assert "those that import_filemaker_images.py has read" in out
    assert f"{seed} has 2 records and is from 2026-01-02 12:00" in out
    assert seed.read_text(encoding="utf-8") == content
    assert [path.name for path in folder.data.iterdir()] == [seed.name]


@pytest.mark.parametrize("content", [None, "", HEADER, '"' + "x" * 200_000], ids=["none", "empty", "header", "damaged"])
def test_without_an_export_and_without_imported_records_the_importer_is_named(folder, content):
    if content is not None:
        imported(folder, content)
    code, out, err = folder.run(variables=FROM_FILEMAKER)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "import_filemaker_images.py" in err


def test_the_importers_records_never_stand_in_for_an_export_that_is_meant(folder):
    seed = imported(folder, older := HEADER + "7,x,1/2/2020,,,,,,\n")
    for arguments in (["--check"], ["-o", folder.out], ["--columns", "recid"], ["--encoding", "utf-8"]):
        code, out, err = folder.run(*arguments, variables=FROM_FILEMAKER)
        assert (code, out) == (2, "") and "which export is to be converted?" in err
    code, out, err = folder.run(variables=FROM_FILEMAKER | {"FILEMAKER_EXPORT": str(folder.path / "missing.tab")})
    assert (code, out) == (2, "") and "missing.tab" in err
    assert folder.run(variables={})[0] == 2
    assert seed.read_text(encoding="utf-8") == older
    export = folder.export(tab([GOOD_ROW, GOOD_ROW]))
    assert folder.run(variables=FROM_FILEMAKER | {"FILEMAKER_EXPORT": str(export)})[0] == 0
    assert len(read_seed(seed)) == 2


def test_an_export_of_record_numbers_alone_is_read(folder):
    for name, content in (("x.tab", "7\r8\r"), ("x.csv", '"7"\r"8"\r')):
        assert [row[0] for row in folder.converted(content, "--columns", "recid", name=name)[0]] == ["7", "8"]


def test_a_first_record_with_less_than_half_known_names_is_not_a_header(folder):
    row = ("", "recid", "Type", "", "date", "", "1", "")
    assert folder.converted(tab([row]))[0] == [as_seed(row)]


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("date\tType\ra\tb\r", (), "the header has no recid column"),
        (tab(ROWS), ("--columns", "date,Type"), "--columns has no recid column"),
        ("recid\tid\tContacts::ID\r1\t2\t3\r", (), "same column name twice (id)"),
        (tab(ROWS), ("--columns", "recid,Type,type"), "--columns has the same column name twice (Type)"),
        (written("tab with header", []), (), "the export contains no records"),
        (written("mer", []), (), "the export contains no records"),
        ("\r\r", (), "the export contains no records"),
        (b"\xef\xbb\xbf", (), "the export contains no records"),
        (b"", (), "is empty"),
    ],
)  # fmt: skip
def test_unusable_columns_and_empty_exports_are_refused(folder, content, options, message):
    assert message in folder.refused(content, *options)


# --- Malformed records ---


WRONG_RECORDS = [(ROWS[0][:-1], "7 fields"), ((*ROWS[0], "x"), "9 fields"), ((), "1 field")]
# every pair of separator, record, place and form
MALFORMED = [
    (end, *wrong, (1, 2, 7)[(i + j) % 3], ["csv", "csv with header"] if i == j else ["tab", "tab with header"])
    for (i, end), (j, wrong) in product(enumerate(SEPARATORS.values()), enumerate(WRONG_RECORDS))
]


@pytest.mark.parametrize(("end", "record", "fields", "place", "forms"), MALFORMED)
def test_a_wrong_number_of_fields_is_refused_with_its_record(folder, end, record, fields, place, forms):
    rows = [ROWS[0]] * 7
    rows.insert(place - 1, record)
    for form, name in zip(forms, (f"record {place}", f"record {place} ({place + 1} counting the header)"), strict=True):
        assert f"{name} has {fields}, not 8; " in folder.refused(written(form, rows, end), name=f"x.{form[:3]}")


@pytest.mark.parametrize("end", ["\r", "\n"])
def test_a_record_with_a_different_line_end_is_refused(folder, end):
    content = tab(ROWS[:1] * 3, "\r\n") + tab(ROWS[:1], end) + tab(ROWS[:1] * 3, "\r\n")
    assert "record 4 has 15 fields, not 8" in folder.refused(content)


MALFORMED_QUOTING = ['"a"b","c"', '"a","b"c', 'a"b","c"', '"a", "b"', '"a","b']


@pytest.mark.parametrize("place", range(5))
def test_malformed_quoting_is_refused_with_its_record(folder, place):
    third, end = MALFORMED_QUOTING[place], list(SEPARATORS.values())[place % 3]
    rows = ['"1","x"', '"2","x""y"', third, '"4","x"']
    for header, record in (([], "record 3"), (["recid,Type"], "record 3 (4 counting the header)")):
        content = "".join(row + end for row in [*header, *rows])
        message = folder.refused(content, "--columns", "recid,Type", name="x.csv")
        assert f"{record} has a quotation mark in the middle" in message


def test_a_quotation_mark_that_is_never_closed_is_refused_with_its_record(folder):
    content = '"1","x"\r"2","y"\r"3","z\r'
    message = folder.refused(content, "--columns", "recid,Type", name="x.csv")
    assert "record 3 opens a quotation mark that is never closed" in message


# --- Encodings ---

LANGUAGES = {
    "French": ["été", "l’ongle du pied", "brûlure – forêt", "« déjà »", "ÉCOLE", "François", "œdème", "voilà…"],
    "German": ["Fuß", "Müller", "„Ferse“", "Größe 5", "Übersicht", "Köln – links", "Geschwür", "ÄRZTIN"],
    "Spanish": ["niño", "corazón", "¿dedo?", "María", "lesión – talón", "ÁNGEL", "Peña", "año"],
    "English": ["patient’s foot", "“left” heel", "don’t", "L foot – dorsal", "O’Brien", "‘new’ wound", "review… done"],
    "Swedish": ["fot – höger", "vänster", "tå", "Åsa", "Öberg", "sår", "häl"],
    "Portuguese": ["pé", "João", "coração", "mão – dedo", "lesão", "três", "órgão"],
}


# with the line end that speaks for the other one
@pytest.mark.parametrize(("encoding", "end"), [("mac_roman", "\n"), ("cp1252", "\r")])
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_few_words_distinguish_macroman_from_windows(folder, language, encoding, end):
    rows = [("", "", "", "", "", "", str(n), word) for n, word in enumerate(LANGUAGES[language], 1)]
    found, out = folder.converted(tab(rows, end), encoding=encoding)
    assert [row[3] for row in found] == LANGUAGES[language]
    assert "undecided" not in out


def test_one_word_suffices_for_175_of_180_and_the_others_are_called_undecided():
    wrong = []
    for word, encoding, end in product(chain(*LANGUAGES.values()), NAMES, "\r\n"):
        data = tab([("", "", "", "", "", "", "1", word)], end).encode(encoding)
        found, evidence = find_encoding(data)
        if data.decode(found) != data.decode(encoding):
            wrong.append(evidence)
    assert len(wrong) == 5
    assert all("undecided" in evidence for evidence in wrong)


# What a clinic writes beside letters: signs of one set are letters of the other, often in a place where one fits.
SIGNS = (
    "Cam Walker™ boot", "Cam Walker™", "walker™", "ALLEVYN™", "Polysporin®", "Mepilex® Ag", "left–right", "toe–ankle",
    "pre–op", "foot—left", "wait…see", "“Left” heel", "‘left’", "90°", "5½", "½ inch", "€20", "20 €", "cm²", "±2",
    "5 µm", "£5", "• foot", "© 2016", "§ 5", "3×4", "1ª vez", "5¼", "patients’ feet", "Ma’am", "St. John’s", "O’Neill",
    "avô", "metrô", "estómago", "compañero", "España", "Muñoz", "NIÑO", "créée", "poésie", "coração", "naïve", "Zoë",
    "Chloé", "André", "Raúl", "Öl", "Öberg", "Dušan", "Tomaš",
)  # fmt: skip


@pytest.mark.parametrize("word", SIGNS)
def test_a_wrong_guess_is_never_a_confident_one(word):
    for encoding, end in product(NAMES, "\r\n"):
        try:
            data = tab([("", "", "", "", "", "", "1", word)], end).encode(encoding)
        except UnicodeEncodeError:
            continue
        found, evidence = find_encoding(data)
        assert data.decode(found) == data.decode(encoding) or "undecided" in evidence
        if data.decode("cp1252", "replace") == data.decode("mac_roman"):
            assert "undecided" not in evidence


@pytest.mark.parametrize("word", ["Walker™", "Polysporin®", "ALLEVYN™", "left–right", "wait…see"])
def test_a_trademark_or_a_dash_is_told_from_a_letter(folder, word):
    for encoding, end in product(NAMES, "\r\n"):
        rows = [("", "", "", "", "", "", "1", word)]
        found, out = folder.converted(tab(rows, end), encoding=encoding)
        assert found[0][3] == word
        assert "undecided" not in out


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1251", "стопа левая"), ("koi8_r", "стопа левая"), ("iso8859_7", "πόδι αριστερό"), ("cp1255", "רגל שמאל"),
        ("cp437", "Müller"), ("cp850", "Größe"), ("shift_jis", "左足の写真"), ("gbk", "左脚照片"), ("cp1250", "Łukasz"),
    ],
)  # fmt: skip
def test_a_set_that_is_neither_is_said_to_fit_badly(folder, encoding, text):
    record = ("", "", "", "", "", "", "1", text)
    for end in "\r\n":
        assert "neither fits most of them: name the encoding with --encoding" in find_encoding(
            tab([record], end).encode(encoding)
        )[1]  # fmt: skip
    found, out = folder.converted(tab([record]), "--encoding", encoding, encoding=encoding)
    assert found[0][3] == text and "neither fits" not in out


@pytest.mark.parametrize(("separator", "word"), [("\r", "Jesús"), ("\n", "Jesœs"), ("\r\n", "Jesœs")])
def test_if_the_words_do_not_decide_the_line_end_does(folder, separator, word):
    # 0x9C: ú on a Mac, œ on Windows
    content = ("\t" * 6 + "1\tJes").encode() + b"\x9cs" + separator.encode()
    found, out = folder.converted(content)
    assert found[0][3] == word
    assert "undecided" in out


def test_broken_utf8_is_not_read_as_macroman(folder):
    good = tab([("", "", "", "", "", "", "1", "Müller, Größe")] * 3).encode()
    bad = tab([("", "", "", "", "", "", "1", "été")]).encode("cp1252")
    assert "record 4 contains bytes that cannot be read as utf-8" in folder.refused(good + bad + good)
    header = "\t".join(COLUMNS).encode() + b"\r"
    assert "record 4 (5 counting the header) contains" in folder.refused(header + good + bad + good)


def test_a_broken_byte_after_a_bom_is_refused_with_its_record(folder):
    for encoding, broken in (("utf-8-sig", b"\xff\r"), ("utf-16", b"\x00\xdc\r\x00")):
        message = folder.refused(tab(ROWS).encode(encoding) + broken)
        assert f"record 5 contains bytes that cannot be read as {encoding}" in message


def test_an_encoding_may_be_named(folder):
    row = ("", "", "", "", "", "", "1", "Łódź")
    found, out = folder.converted(tab([row]), "--encoding", "cp1250", encoding="cp1250")
    assert found[0][3] == "Łódź"
    assert "encoding          cp1250 (named by --encoding)" in out
    assert folder.converted(tab([row]), "--encoding", "utf-16-be", encoding="utf-16-be")[0][0][3] == "Łódź"


@pytest.mark.parametrize("encoding", ["latin-zero", "base64", "rot13", "", "a b"])
def test_an_unknown_encoding_is_refused(folder, encoding):
    assert "is not an encoding" in folder.refused(tab(ROWS), "--encoding", encoding)


@pytest.mark.parametrize(
    ("content", "encoding", "message"),
    [
        (tab(ROWS).encode() + "\t\té".encode(), "ascii", "record 5 contains bytes that cannot be read as ascii"),
        (tab(ROWS).encode("cp1252") + b"\x81", "cp1252", "record 5 contains bytes that cannot be read as cp1252"),
        (tab(ROWS).encode("utf-16-le")[:-1], "utf-16-le", "record 4 contains bytes that cannot be read as utf-16-le"),
        (tab(ROWS).encode(), "utf-32-be", "record 1 contains bytes that cannot be read as utf-32-be"),
        (tab(ROWS).encode(), "undefined", "the file contains bytes that cannot be read as undefined"),
        (tab(ROWS).encode() + b"\\ud800", "unicode_escape", "the file contains bytes"),
    ],
)
def test_bytes_that_the_named_encoding_does_not_have_are_refused_with_their_record(folder, content, encoding, message):
    assert message in folder.refused(content, "--encoding", encoding)


@pytest.mark.parametrize("order", ["le", "be"])
def test_utf16_without_a_bom_is_refused_with_a_hint(folder, order):
    assert f"try --encoding utf-16-{order}" in folder.refused(tab(ROWS).encode(f"utf-16-{order}"))


def test_a_nul_character_is_refused_with_its_record(folder):
    assert "record 3 contains a NUL" in folder.refused(tab([*ROWS[:2], ("\0", *ROWS[0][1:]), *ROWS]))
    assert "record 1 contains a NUL" in folder.refused("\0" + tab(ROWS), encoding="utf-16-le")


# --- The order of the dates ---


def dated(days, form):
    return tab([(form(day), "", "", "", "", "", str(n), "") for n, day in enumerate(days, 1)])


def mdy(day):
    return f"{day.month}/{day.day}/{day.year}"


def dmy(day):
    return f"{day.day}.{day.month}.{day.year}"


DAYS = [date(2020, month, day) for month in range(1, 13) for day in (3, 17)]


@pytest.fixture
def configured(monkeypatch):
    """Set the project's vars, as `dbt_project.yml` would."""

    def set_vars(order, today="2025-01-01"):
        for module in (date_order, linkage.settings):
            monkeypatch.setattr(module, "project_var", {"filemaker_date_order": order, "today": today}.__getitem__)

    return set_vars


def test_dates_in_the_configured_order_are_confirmed(folder, configured):
    configured("mdy")
    out = folder.converted(dated(DAYS, mdy))[1]
    assert "The dates support mdy, as filemaker_date_order says.\n" in out
    assert re.search(r"\n  mdy +24 +0 +0 +0 +0 +16\.7%\n", out)
    assert re.search(r"\n  ymd +0 +24 +0 +0 +24 +-\n", out)


def test_dates_in_another_order_name_the_var_to_set(folder, configured):
    configured("mdy")
    out = folder.converted(dated(DAYS, dmy))[1]
    assert "CONTRADICTED: filemaker_date_order is mdy, but the dates support dmy" in out
    assert "Set `filemaker_date_order: dmy` in dbt_project.yml, or pass --vars '{filemaker_date_order: dmy}'" in out
    configured("dmy")
    assert "The dates support dmy" in folder.converted(dated(DAYS, dmy))[1]


def test_dates_that_do_not_decide_are_called_undecided(folder, configured):
    configured("mdy")
    out = folder.converted(dated([date(2020, 1, 2), date(2020, 3, 4)], mdy))[1]
    assert "UNDECIDED: filemaker_date_order is mdy, but the dates could also be dmy." in out
    # 3 April 2020 was a Friday, 1 February a Saturday
    assert re.search(r"\n  dmy .* 50\.0%\n", out)


def test_dates_after_the_var_today_are_in_the_future(folder, configured):
    configured("mdy", today="2020-06-30")
    assert re.search(r"\n  mdy +24 +0 +12 +0 +12 ", folder.converted(dated(DAYS, mdy))[1])
    configured("mdy", today="")
    assert re.search(r"\n  mdy +24 +0 +0 +0 +0 ", folder.converted(dated(DAYS, mdy))[1])


def test_a_file_without_dates_says_so(folder):
    assert "No value in the date column is a date" in folder.converted("7\r", "--columns", "recid")[1]


def test_settings_that_cannot_be_used_are_refused(folder, configured):
    configured("dym")
    assert "filemaker_date_order in dbt_project.yml" in folder.refused(tab(ROWS))
    configured("mdy", today="tomorrow")
    assert "today in dbt_project.yml" in folder.refused(tab(ROWS))


# --- What is printed and where it is written ---


def test_the_fill_of_each_column_is_counted_without_white_space(folder):
    rows = [("1/2/2020", "", " \xa0", "", "?", "", "1", "x"), ("", "", "", "", "\x0b", "", "2", "x")]
    out = folder.converted(tab(rows))[1]
    filled = dict(re.findall(r"\n  (\w+) +(\d+) +[0-9.]+%(?=\n)", out))
    assert {name: int(filled[name]) for name in SEED} == {
        "recid": 2, "id_Contact": 0, "date": 1, "Type": 2, "Note": 0, "id": 0, "fileName": 0, "Name_of_file": 1,
        "NexusExportDate": 0,
    }  # fmt: skip


def test_no_value_is_ever_printed(folder):
    secret = "Quillfeather"
    row = tuple(f"{secret} é" for _ in COLUMNS)
    printed = [
        folder.converted(tab([row, GOOD_ROW]))[1],
        folder.converted(written("csv", [row, GOOD_ROW]), encoding="cp1252", name="x.csv")[1],
        folder.refused(tab([row])),
        folder.refused(tab([(*GOOD_ROW[:-2], secret, "1"), (*GOOD_ROW[:-2], secret, "2")])),
        folder.refused(tab([row, row[1:]])),
        folder.refused(tab([row]), "--encoding", "ascii"),
        folder.refused(tab([row, row]) + "\0"),
        folder.refused(written("csv", [row]).replace(",", f"{secret},", 1), name="x.csv"),
        folder.refused(written("tab with header", [row], columns=(*COLUMNS[:-2], secret, secret))),
    ]
    assert not [text for text in printed if secret in text]


def test_the_script_writes_the_seed_to_the_data_folder(folder):
    export = folder.export(tab(ROWS))
    done = subprocess.run(
        [sys.executable, PROJECT_ROOT / "scripts" / "convert_fm_tab_to_csv.py", export],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"LINKAGE_DATA": str(folder.data)},
        cwd=Path("/"),
    )
    assert read_seed(folder.data / "filemaker_images_metadata.csv") == [as_seed(row) for row in ROWS]
    assert {path.name for path in folder.data.iterdir()} == {f"{seed}.csv" for seed in SEED_COLUMNS}
    assert done.stdout.endswith(f"Wrote {folder.data}/filemaker_images_metadata.csv\n")


def test_a_check_reports_the_same_and_writes_nothing(folder):
    export = folder.export(tab(ROWS))
    code, checked, err = folder.run(export, "--check")
    assert (code, err) == (0, "")
    assert list(folder.path.iterdir()) == [export]
    assert checked.endswith("Nothing written (--check).\n")
    _, written, _ = folder.run(export, "-o", folder.out)
    assert checked.splitlines()[:-1] == written.splitlines()[:-1]


@pytest.mark.parametrize("options", [["--check"], []])
def test_a_data_folder_is_only_made_for_an_export_that_can_be_used(folder, options):
    folder.export(tab(ROWS) + "x\r", "uneven.tab")
    for name, reason in {"missing.tab": "No such file", ".": "Is a directory", "uneven.tab": "record 5"}.items():
        code, out, err = folder.run(folder.path / name, *options)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert reason in err
        assert not folder.data.exists()


def test_the_export_and_the_sample_are_never_written_to(folder):
    export = folder.export(tab(ROWS))
    before = export.read_bytes()
    (folder.path / "link").symlink_to(SAMPLE_FOLDER)
    (folder.path / "folder").mkdir()
    samples = {path: path.read_bytes() for path in SAMPLE_FOLDER.glob("*.csv")}
    for options, reason in [
        (["-o", export], "the export itself would be overwritten"),
        (["-o", folder.path / "folder" / ".." / "export.tab"], "the export itself would be overwritten"),
        (["-o", SAMPLE_FOLDER / "new.csv"], "never written to"),
        (["-o", folder.path / "link" / "filemaker_images_metadata.csv"], "never written to"),
        ([], "never written to"),
    ]:
        code, _, err = folder.run(export, *options, data="seeds/sample")
        assert (code, err.count("\n")) == (2, 1)
        assert reason in err
    assert export.read_bytes() == before
    assert {path: path.read_bytes() for path in SAMPLE_FOLDER.glob("*.csv")} == samples
    assert sorted(path.name for path in folder.path.iterdir()) == ["export.tab", "folder", "link"]


def test_a_seed_is_not_converted_onto_itself(folder):
    folder.data.mkdir()
    seed = folder.export(",".join(SEED) + "\n1,,,,,,,,\n", "data/filemaker_images_metadata.csv")
    code, _, err = folder.run(seed)
    assert code == 2 and "the export itself" in err
    assert list(folder.data.iterdir()) == [seed]
