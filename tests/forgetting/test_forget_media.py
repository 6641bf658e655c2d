"""`spark forget` of items that refer to files of the store."""

from pictures import digit

from spark_build.core.digest import digest_bytes
from tests.forgetting.searching import holding
from tests.forgetting.test_forget import build, forgotten, rows, store
from tests.spark import Folder


def test_the_file_of_a_forgotten_picture_is_gone_and_stays_away(folder: Folder) -> None:
    folder.sparkfile(
        "datasets:\n  all: {source: data, transforms: [{use: convert_image, with: {format: jpeg}}]}\n"
    )
    for n in range(4):
        folder.write(f"data/{n}.png", digit(n))
    build(folder)
    digest = digest_bytes((folder.path / "data/2.png").read_bytes())
    blob = store(folder) / "objects" / digest[:2] / digest[2:]
    assert blob.exists()
    forgotten(folder, "all", "2.png")
    assert not blob.exists()
    assert holding(store(folder), digit(2)) == []
    build(folder)
    assert holding(store(folder), digit(2)) == []
    assert sum(len(rows(folder, "all").rows(split)) for split in rows(folder, "all").splits) == 3


def test_a_file_that_another_dataset_needs_stays_and_is_told(folder: Folder) -> None:
    folder.sparkfile("datasets:\n  all: {source: data}\n  more: {source: more}\n")
    for n in range(3):
        folder.write(f"data/{n}.png", digit(n))
    folder.write("more/same.png", digit(2))
    folder.write("more/other.png", digit(5))
    build(folder)
    told = forgotten(folder, "all", "2.png")
    digest = digest_bytes(digit(2))
    assert [(one.digest, one.target) for one in told.elsewhere] == [(digest, "dataset:more")]
    outcomes = {stage: r.outcome for stage, r in build(folder).results.items()}
    assert {outcome for stage, outcome in outcomes.items() if "more" in stage} == {"fresh"}
    assert forgotten(folder, "more", "same.png").elsewhere == ()
    assert not (store(folder) / "objects" / digest[:2] / digest[2:]).exists()
