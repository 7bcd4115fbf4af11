"""What the report says, in plain words, of each kind of picture that waits or that somebody has to decide about.

The clinic's owner knows neither rows nor objects: a row of the export is a picture, an object of the dump is a file,
and Nexus is the new system. The sentences are complete but for their full stop.
"""

Sentence = tuple[str, str]  # about one, and about several; {} is their number

# By reason, why pictures wait. A test compares the reasons with seeds/reference/reasons.csv.
WAITING: dict[str, Sentence] = {
    "invalid_recid": (
        "1 picture waits because its record number cannot be read",
        "{} pictures wait because their record numbers cannot be read",
    ),
    "duplicate_recid": (
        "1 picture waits because another one has the same record number",
        "{} pictures wait because others have the same record numbers",
    ),
    "duplicate_filemaker_id": (
        "1 picture waits because another one has the same id in FileMaker",
        "{} pictures wait because others have the same ids in FileMaker",
    ),
    "held_back": (
        "1 picture waits because a reviewer holds it back",
        "{} pictures wait because a reviewer holds them back",
    ),
    "not_exported": (
        "1 picture waits because FileMaker has not exported its file yet",
        "{} pictures wait because FileMaker has not exported their files yet",
    ),
    "missing_patient_id": (
        "1 picture waits because FileMaker does not say whose it is",
        "{} pictures wait because FileMaker does not say whose they are",
    ),
    "invalid_patient_id": (
        "1 picture waits because its patient’s id in FileMaker cannot be read",
        "{} pictures wait because their patients’ ids in FileMaker cannot be read",
    ),
    "missing_date": (
        "1 picture waits because it has no date",
        "{} pictures wait because they have no date",
    ),
    "invalid_date": (
        "1 picture waits because its date cannot be read",
        "{} pictures wait because their dates cannot be read",
    ),
    "future_date": (
        "1 picture waits because its date is in the future",
        "{} pictures wait because their dates are in the future",
    ),
    "patient_not_found": (
        "1 picture waits because its patient is not in the new system",
        "{} pictures wait because their patients are not in the new system",
    ),
    "ambiguous_patient": (
        "1 picture waits because its patient is in the new system more than once",
        "{} pictures wait because their patients are in the new system more than once",
    ),
    "missing_object": (
        "1 picture waits because its file is not in the dump",
        "{} pictures wait because their files are not in the dump",
    ),
    "ambiguous_object": (
        "1 picture waits because the dump has more than one file for it",
        "{} pictures wait because the dump has more than one file for each of them",
    ),
    "unsupported_file_type": (
        "1 picture waits because its file is not of a type that is imported",
        "{} pictures wait because their files are not of a type that is imported",
    ),
    "empty_object": (
        "1 picture waits because its file is empty",
        "{} pictures wait because their files are empty",
    ),
}
# By the state of their copy, linked pictures that are not in the new system yet.
UNFINISHED: dict[str, Sentence] = {
    "failed": (
        "1 picture could not be copied and verified",
        "{} pictures could not be copied and verified",
    ),
    "held": (
        "1 picture was held back after it had been linked",
        "{} pictures were held back after they had been linked",
    ),
    "to_do": (
        "1 picture is linked to its patient and waits to be copied",
        "{} pictures are linked to their patients and wait to be copied",
    ),
    "verified": (
        "1 picture is copied and verified, and waits to be published",
        "{} pictures are copied and verified, and wait to be published",
    ),
}
# By reason, what stays in the dump although no picture is waiting for it.
LEFT: dict[str, Sentence] = {
    "unrecognised_key": (
        "1 file of the dump is not named after a record and stays where it is",
        "{} files of the dump are not named after a record and stay where they are",
    ),
    "no_metadata": (
        "1 file of the dump belongs to a record that the export does not have",
        "{} files of the dump belong to records that the export does not have",
    ),
    "record_skipped": (
        "1 file of the dump belongs to a picture that waits",
        "{} files of the dump belong to pictures that wait",
    ),
}
# By finding of severity check, what somebody has to decide. A test compares them with seeds/reference/findings.csv.
DECISIONS: dict[str, Sentence] = {
    "date_out_of_order": (
        "1 picture has a date that does not fit those of the records next to it: is the date right?",
        "{} pictures have dates that do not fit those of the records next to them: are the dates right?",
    ),
    "held_but_copied": (
        "1 picture is held back but has already been copied: may the copy stay?",
        "{} pictures are held back but have already been copied: may the copies stay?",
    ),
    "held_but_published": (
        "1 picture is held back but is already in the new system: may it stay there?",
        "{} pictures are held back but are already in the new system: may they stay there?",
    ),
    "identity_document": (
        "1 picture seems to show a card or a document, such as a Medicare card: does it belong in the new system?",
        "{} pictures seem to show cards or documents, such as Medicare cards: do they belong in the new system?",
    ),
    "patient_near_miss": (
        "1 picture waits for a patient whose id is almost that of a patient in the new system: are they the same?",
        "{} pictures wait for patients whose ids are almost those of patients in the new system: are they the same?",
    ),
    "published_elsewhere": (
        "1 picture is in the new system under another patient or date than FileMaker has now: which one is right?",
        "{} pictures are in the new system under another patient or date than FileMaker has now: which one is right?",
    ),
    "published_without_record": (
        "1 picture is in the new system although FileMaker no longer has its record: may it stay there?",
        "{} pictures are in the new system although FileMaker no longer has their records: may they stay there?",
    ),
    "same_bytes_two_patients": (
        "1 picture is the same, byte for byte, as one of another patient: whose is it?",
        "{} pictures are the same, byte for byte, as one of another patient: whose are they?",
    ),
}


def sentence(sentences: dict[str, Sentence], kind: str, count: int) -> str:
    """The sentence about `count` pictures or files of a kind."""
    one, many = sentences[kind]
    return one if count == 1 else many.format(f"{count:,}")
