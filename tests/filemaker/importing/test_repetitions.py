"""Fields with repetitions, which the Data API gives as `name(1)`, `name(2)` and so on."""

import pytest

from linkage.filemaker.data_api.containers import container_path
from linkage.filemaker.data_api.problems import NotThisRecord
from linkage.filemaker.data_api.records import as_record

FIRST, SECOND = (f"https://fms.example/Streaming_SSL/MainDB/{letter}.jpg?RCType=x" for letter in "AB")


def value(*repetitions: str) -> str:
    fields = {f"image_Full({number})": text for number, text in enumerate(repetitions, 1)}
    return as_record({"recordId": "1", "modId": "0", "fieldData": fields}).values["image_Full"]


@pytest.mark.parametrize("picture", [FIRST, f"{FIRST}/{SECOND}"], ids=["url", "host twice"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_only_picture_of_a_repeating_container_is_taken_wherever_it_is(picture, place):
    repetitions = ["", "", ""]
    repetitions[place] = picture
    assert container_path(value(*repetitions)) == container_path(picture)


@pytest.mark.parametrize(
    "repetitions", [(FIRST, SECOND), (FIRST, "", SECOND), ("?", SECOND), (FIRST, "?"), ("file:a.jpg", SECOND)]
)
def test_several_pictures_in_one_container_are_refused_because_only_one_could_be_imported(repetitions):
    with pytest.raises(NotThisRecord, match="SeveralPictures"):
        container_path(value(*repetitions))
