"""Media in a dataset's stages: one copy, references in rows, and going on gives what a cold build gives."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from chain import Chain
from pictures import digit, encoded, photos
from stage_bench import Bench, Ran, step

from spark_build.contract import Item, ItemGate, Media, Raw, Source, SourceFile, Transform, Verdict
from spark_build.core.digest import digest_bytes
from spark_build.core.tree import Tree
from spark_build.stages import filter, filter_changes, ingest, ingest_changes, shard_writer

FILES = "spark_build.sources.files:Files"


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_writer, "TARGET_BYTES", 2000)


@pytest.fixture
def pictures(bench: Bench) -> Bench:
    for number in range(24):
        bench.write(f"data/{number % 3}/{number:03d}.png", digit(number))
    for number in range(6):
        bench.write(f"data/words/{number}.txt", f"text number {number}")
    return bench


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chains read with the built-in source."""
    monkeypatch.setattr(Bench, "files", lambda bench: source(bench))


def source(bench: Bench, impl: str = FILES) -> Any:
    place = str(bench.project / "data")
    return step("files", {"path": "data"}, impl=impl, inputs={"path": place})


class Large(ItemGate):
    """Drops images by what is known of them, and by a pixel that is read."""

    def fields_read(self, item: Item) -> tuple[str, ...]:
        return ("image",)

    def measure(self, item: Item) -> Any:
        from PIL import Image

        media = item["image"]
        assert isinstance(media, Media)
        assert media.name == ""  # what it is called is not in the memo's key
        with Image.open(media.path) as image:
            return [media.facts["width"], image.convert("L").getpixel((16, 16))]

    def decide(self, found: Any, params: Any) -> Verdict:
        return Verdict.drop("dark") if found[1] < 60 else Verdict.keep()


class Halved(Transform):
    """Makes a file of each image."""

    def apply(self, item: Item) -> Any:
        from PIL import Image

        if (media := item.fields.get("image")) is None:
            return [dict(item.fields)]
        made = Path(os.environ["HALVED"]) / f"{media.digest}.png"
        with Image.open(media.path) as image:
            half = image.resize((image.width // 2, image.height // 2))
            half.save(made)
        return [{**item.fields, "image": Media("image", made, ".png", {"width": half.width})}]


class Forged(Source):
    def read(self, file: SourceFile) -> Any:
        yield Raw({"image": {"$media": "image", "digest": "0" * 64}}, key=file.path)


def own(name: str) -> str:
    return f"test_media:{name}"


def objects(bench: Bench) -> dict[str, int]:
    return {str(f): f.stat().st_size for f in (bench.store / "objects").rglob("*") if f.is_file()}


def images(ran: Ran) -> list[dict[str, Any]]:
    return [row["image"] for row in ran.rows() if row["image"] is not None]


def taken(ran: Ran) -> Tree:
    return Tree.parse(ran.output.with_name("taken.json").read_bytes())


@pytest.mark.usefixtures("files")
def test_before_a_version_there_is_one_copy_of_the_media(pictures: Bench) -> None:
    chain = Chain(pictures, [step("Large", impl=own("Large"))])
    built = chain.build()
    sizes = sum(f.stat().st_size for f in (pictures.project / "data").rglob("*.png"))
    assert sum(objects(pictures).values()) == sizes
    assert built.filter is not None
    for ran in (built.ingest, built.filter):
        assert not (ran.output / "media").exists()
        assert b"PNG" not in b"".join(f.read_bytes()[:64] for f in ran.output.rglob("*.parquet"))
    memo = sum(f.stat().st_size for f in (pictures.store / "memo").rglob("*") if f.is_file())
    assert memo < sizes


@pytest.mark.usefixtures("files")
def test_a_result_holds_the_blobs_that_its_rows_refer_to(pictures: Bench) -> None:
    built = Chain(pictures, [step("Large", impl=own("Large"))]).build()
    assert built.filter is not None
    assert 0 < len(images(built.filter)) < len(images(built.ingest)) == 24
    for ran in (built.ingest, built.filter):
        named = {r["digest"] for r in images(ran)}
        assert named == {entry.digest for entry in taken(ran)}
        assert all(entry.path.startswith(f"media/{entry.digest[:2]}/{entry.digest}") for entry in taken(ran))


@pytest.mark.usefixtures("files")
def test_equal_files_are_one_blob_and_two_items(pictures: Bench) -> None:
    pictures.write("data/0/copy.png", digit(3))
    ran = Chain(pictures).build().ingest
    assert len(images(ran)) == 25
    assert len(taken(ran).entries) == 24
    twins = [row["id"] for row in ran.rows() if row["source"] in ("0/copy.png", "0/003.png")]
    assert twins[1] == f"{twins[0]}-2"


@pytest.mark.usefixtures("files")
def test_a_users_file_is_copied_and_never_linked(pictures: Bench) -> None:
    Chain(pictures).build()
    assert {f.stat().st_nlink for f in (pictures.project / "data").rglob("*.png")} == {1}
    assert {os.stat(path).st_mode & 0o222 for path in objects(pictures)} == {0}


@pytest.mark.usefixtures("files")
def test_going_on_gives_what_a_cold_build_gives(pictures: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    went_on: list[str] = []

    def watched(name: str, run: Any) -> Any:
        def call(*args: Any, **rest: Any) -> Any:
            outcome = run(*args, **rest)
            went_on.append(name)
            return outcome

        return call

    monkeypatch.setattr(ingest, "ingest_changes", watched("ingest", ingest_changes.ingest_changes))
    monkeypatch.setattr(filter, "filter_changes", watched("filter", filter_changes.filter_changes))
    chain = Chain(pictures, [step("Large", impl=own("Large"))])
    chain.build()
    (pictures.project / "data/1/004.png").unlink()
    pictures.write("data/2/005.png", digit(100))
    pictures.write("data/2/new.png", digit(101))
    built = chain.build()
    assert went_on == ["ingest", "filter"]
    assert built.handled == [2, 2]
    assert built.told == chain.cold().build().told


@pytest.mark.usefixtures("files")
def test_a_second_ingest_copies_nothing(pictures: Bench) -> None:
    chain = Chain(pictures)
    chain.build()
    before = objects(pictures)
    assert chain.build().handled == [0]
    assert objects(pictures) == before


@pytest.mark.usefixtures("files")
def test_a_blob_that_is_gone_is_read_again(pictures: Bench) -> None:
    chain = Chain(pictures, goes_on=False)
    first = chain.build()
    gone = images(first.ingest)[5]["digest"]
    (pictures.store / "objects" / gone[:2] / gone[2:]).unlink()
    again = chain.build()
    assert again.handled == [1]
    assert again.ingest.tree == first.ingest.tree


@pytest.mark.usefixtures("files")
def test_an_image_that_was_renamed_is_measured_no_more(pictures: Bench) -> None:
    chain = Chain(pictures, [step("Large", impl=own("Large"))], goes_on=False)
    chain.build()
    os.rename(pictures.project / "data/0/003.png", pictures.project / "data/0/zzz.png")
    assert chain.build().handled == [1, 0]  # read anew under its name


def test_a_transform_makes_files_that_are_taken_in(
    pictures: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HALVED", str(tmp_path))
    ran = pictures.ingest(source(pictures), step("Halved", impl=own("Halved")))
    assert {r["facts"]["width"] for r in images(ran)} == {16}
    assert {r["path"] for r in images(ran)} == {f"{n % 3}/{n:03d}.png" for n in range(24)}
    assert {r["digest"] for r in images(ran)} == {entry.digest for entry in taken(ran)}
    again = pictures.ingest(source(pictures), step("Halved", impl=own("Halved")))
    assert again.handled == 0
    assert again.tree == ran.tree


def test_a_record_that_only_looks_like_a_reference_is_rejected(bench: Bench) -> None:
    bench.write("data/a.txt", "x")
    bench.write(
        "data/b.jsonl", json.dumps({"text": "fine"}) + "\n" + json.dumps({"image": {"$media": "image"}})
    )
    ran = bench.ingest(source(bench))
    assert [row["reason"] for row in ran.dataset.rejected()] == ["bad_value"]


def test_what_looks_like_a_reference_deep_in_a_value_is_a_value(bench: Bench) -> None:
    rows = [{"x": {"y": {"$media": 1}}}, {"x": {"y": {"$media": "image", "digest": "0" * 64}}}]
    bench.write("data/b.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    for _ in range(2):
        ran = bench.ingest(source(bench))
        assert [row["x"] for row in ran.rows()] == [row["x"] for row in rows]
    assert not ran.output.with_name("taken.json").exists()


def test_names_of_files_may_be_odd(pictures: Bench) -> None:
    for name in ("line\nbreak.png", "quote'\".png", "ünï.png", "noend.", "a..b..png"):
        pictures.write(f"data/0/{name}", digit(200 + len(name)))
    ran = pictures.ingest(source(pictures))
    assert {"0/line\nbreak.png", "0/ünï.png", "0/noend."} <= {row["source"] for row in ran.rows()}


def test_a_declared_field_takes_its_own_kind_alone(pictures: Bench) -> None:
    ran = pictures.ingest(source(pictures), fields={"image": "image"})
    assert {row["reason"] for row in ran.dataset.rejected()} == {"missing_field"}
    assert ran.dataset.fields == {"image": "image"}


def test_a_version_holds_the_bytes_and_what_is_known(pictures: Bench) -> None:
    photo = encoded(photos()[0], "JPEG")
    pictures.write("data/photo.jpg", photo)
    ran = pictures.ingest(source(pictures))
    snapshot = step("snapshot", impl="spark_build.versioning.snapshot:Snapshot")
    version = pictures.run("version", [snapshot], {"dataset": ran.output}, {})
    (row,) = (row for row in version.rows() if row["source"] == "photo.jpg")
    assert row["image"] == {"bytes": photo, "path": "photo.jpg"}
    assert row["meta"]["media"]["image"]["digest"] == digest_bytes(photo)
    assert row["meta"]["media"]["image"]["width"] == 640
    assert version.dataset.fields == {"image": "image", "text": "text"}


@pytest.mark.usefixtures("files")
def test_near_duplicate_images_go_whatever_the_build_went_on_from(pictures: Bench) -> None:
    near = step(
        "near_duplicates", {"method": "phash"}, impl="spark_build.gates.near_duplicates:NearDuplicates"
    )
    for number, quality in enumerate((30, 60, 90)):
        pictures.write(f"data/photo-{number}.jpg", encoded(photos()[1], "JPEG", quality=quality))
    chain = Chain(pictures, [near])
    built = chain.build()
    assert built.filter is not None
    kept = {row["source"] for row in built.filter.rows()}
    assert len([source for source in kept if source.startswith("photo")]) == 1
    assert len([source for source in kept if source.startswith("words/")]) == 6
    pictures.write("data/photo-3.jpg", encoded(photos()[1].resize((320, 213)), "JPEG"))
    again = chain.build()
    assert again.handled == [1, 1]
    assert again.told == chain.cold().build().told
