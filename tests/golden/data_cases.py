"""Golden cases of what makes datasets: sources, transforms, gates, versioners, and the stages around them."""

import json
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spark_build.contract import Context, Item, Media, Raw, SourceFile
from spark_build.core.digest import digest_bytes, digest_file
from spark_build.core.values import asdict, replace
from tests.golden import Golden, Heard, files_of, golden, rule_of, told

CHAT = [{"role": "user", "content": "I am ann@example.com"}, {"role": "assistant", "content": "Hello."}]
TEXTS = (
    "The harbour was quiet that morning, and the boats lay still. Nobody had gone out, for the wind was wrong.",
    "The harbour was quiet that morning, and the boats lay still. Nobody had gone out, for the tide was wrong.",
    "Call +1 212-555-1234 or write to ann@example.com; my card is 4111 1111 1111 1111, the host 192.0.2.17.",
    "- a line\n- a line\n- a line\n\nLorem ipsum { dolor } #tag #tag …\nThe end...",
    "日本語の文章には空白がありません。 DE89 3704 0044 0532 0130 00, 078-05-1120",
    "",
)
FILES: Mapping[str, bytes] = {
    "a.md": b"# Title\r\n\r\n\r\n  A paragraph. \t\r\nIts end.\r\n",
    "b.txt": "Grüße aus Köln, schöne Straße".encode("latin-1"),
    "c.html": b"<html><head><title>T</title></head><body><nav>menu</nav><article><h1>Head</h1>"
    b"<p>A first paragraph that is long enough to be kept by a reader of pages.</p>"
    b"<ul><li>one</li><li>two</li></ul></article></body></html>",
    "train/rows.jsonl": b'{"text": "one", "n": 1, "id": "x1"}\nnot json\n{"text": "zwei", "tags": ["a"]}\n',
    "table.csv": b"text;label\nfirst;a\n\"second; quoted\";b\nuneven;c;d\n",
    "list.json": b'[{"text": "in a list", "ok": true}, {"text": null}]',
    "validation.tsv": b"text\tlabel\ntab\tx\n",
    "empty.txt": b"",
    "image.txt": b"\x89PNG\r\n\x1a\n\0\0",
    ".hidden.md": b"never read",
    "odd.xyz": b"of no known kind",
    "pixel.txt": bytes.fromhex(
        "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
        "0000000a49444154789c636800000082008177cd72b60000000049454e44ae426082"
    ),
}  # fmt: skip


_DOT_JPEG = bytes.fromhex(
    "ffd8ffe000104a46494600010100000100010000ffdb004300100b0c0e0c0a100e0d0e1211101318281a181616183123251d"
    "283a333d3c3933383740485c4e404457453738506d51575f626768673e4d71797064785c656763ffc0000b08000100010101"
    "1100ffc4001f0000010501010101010100000000000000000102030405060708090a0bffc400b51000020103030204030505"
    "04040000017d01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a"
    "25262728292a3435363738393a434445464748494a535455565758595a636465666768696a737475767778797a8384858687"
    "88898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2"
    "e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9faffda0008010100003f002bffd9"
)


def items(texts: Sequence[str] = TEXTS) -> list[Item]:
    return [Item(f"id{n}", "made.txt", "train", {"text": text}) for n, text in enumerate(texts)]


def source_files(folder: Path, files: Mapping[str, bytes]) -> list[SourceFile]:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return [SourceFile(p, folder / p, len(d), digest_bytes(d)) for p, d in sorted(files.items())]


def records(source: Any, files: Sequence[SourceFile]) -> list[Any]:
    """What each file gives; of what can't be read the reason alone: details quote parsers, whose words change."""
    return [
        [
            file.path,
            [plainly(found) for found in source.read(file)],
        ]
        for file in files
    ]


def plainly(found: Any) -> Any:
    """Media without the place that they are read from."""
    if not isinstance(found, Raw):
        return found.reason
    fields = {
        name: [v.kind, v.suffix, v.name, v.facts] if isinstance(v, Media) else v
        for name, v in found.fields.items()
    }
    told = {**asdict(found), "fields": fields}
    return (
        told
        if found.source is not None
        else {name: value for name, value in told.items() if name != "source"}
    )


@golden("source", "files")
def _files(folder: Path) -> Golden:
    rule, found = rule_of("source", "files"), source_files(folder / "data", FILES)
    changed = {
        "include": ["*.md", "*.jsonl", "*.xyz"], "exclude": "b*", "whitespace": "keep", "types": {"xyz": "text"},
        "columns": {"words": "text"}, "text_field": "body",
    }  # fmt: skip
    return Golden(
        {
            "defaults": records(rule(rule.Params(path="data")), found),
            "changed": records(rule(rule.Params(path="data", **changed)), found),
            "parquet": records(rule(rule.Params(path="data")), [_parquet(folder)]),
        }
    )


def _parquet(folder: Path) -> SourceFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"text": ["one", None, "three"], "score": [0.5, 1.0, None], "tags": [["a"], [], None]})
    pq.write_table(table, folder / "rows.parquet")
    size, digest = (folder / "rows.parquet").stat().st_size, digest_file(folder / "rows.parquet")
    return SourceFile("test/rows.parquet", folder / "rows.parquet", size, digest)


@golden("source", "dataset")
def _dataset(folder: Path) -> Golden:
    rule, other = rule_of("source", "dataset"), write_dataset(folder / "dataset")
    source = rule(rule.Params(dataset="dataset:other"), {"dataset": other})
    shards = [SourceFile(f"data/{path.name}", path, 0, "") for path in sorted((other / "data").iterdir())]
    return Golden({"types": source.field_types(), "records": records(source, shards)})


@golden("source", "archive")
def _archive(folder: Path) -> Golden:
    rule, exact = rule_of("source", "archive"), dict[str, Any]()
    samples = {
        "s/1.txt": b"one",
        "s/1.cls": b"3",
        "s/1.json": b'{"id": 1, "n": [2]}',
        "s/2.txt": b"",
        "s/3": b"x",
    }
    for name, members in (("train", {**FILES, "../up.md": b"x", "in.zip": b"PK"}), ("samples", samples)):
        with zipfile.ZipFile(folder / f"{name}.zip", "w") as whole:
            for path, data in members.items():
                whole.writestr(zipfile.ZipInfo(path), data)
        found = [SourceFile(f"{name}.zip", folder / f"{name}.zip", 0, "")]
        form = "files" if name == "train" else "webdataset"
        exact[name] = records(rule(rule.Params(path="data", form=form), {"path": folder}), found)
    return Golden({**exact, **_labelled(folder, rule)})


def _labelled(folder: Path, rule: Any) -> dict[str, Any]:
    """What all sources of files share."""
    table = {
        "table": "labels.csv",
        "on": "file",
        "to": "name",
        "columns": {"kind": "label"},
        "unmatched": "keep",
    }
    (folder / "labels.csv").write_text("file,label,more\na.md,x,1\ntable.csv,y,2\nnone.md,z,3\n")
    inputs = {"path": folder / "train.zip", "join.table": folder / "labels.csv"}
    source = rule(
        rule.Params(path="data", label="parent", label_field="folder", join=table, types={"md": "text"}),
        inputs,
    )
    with zipfile.ZipFile(folder / "train.zip", "w") as whole:
        for path in ("cats/a.md", "dogs/b.md", "c.md"):
            whole.writestr(zipfile.ZipInfo(path), path)
    pairs = [
        (str(one.source), one) for one in source.read(SourceFile("train.zip", folder / "train.zip", 0, ""))
    ]
    joined = [plainly(record) for _, record in source.gather(pairs, Heard())]
    return {"joined": joined, "keyed": source.keyed(source.params), "types": source.field_types()}


@golden("source", "http")
def _http(folder: Path) -> Golden:
    """Of a server on this machine, whose port is no part of the case."""
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    class Site(SimpleHTTPRequestHandler):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given, directory=str(folder / "site"))

        def log_message(self, *_: Any) -> None: ...

    source_files(
        folder / "site", {"a.md": FILES["a.md"], "b/c.html": FILES["c.html"], "rows.jsonl": b'{"n": 1}\n'}
    )
    rule, server = rule_of("source", "http"), ThreadingHTTPServer(("127.0.0.1", 0), Site)
    Thread(target=server.serve_forever, daemon=True).start()
    host = f"127.0.0.1:{server.server_port}"
    urls = [f"http://{host}/{path}" for path in ("a.md", "b/c.html", "rows.jsonl?x=1", "none")]
    source = rule(rule.Params(urls=urls, allow_private=True, retries=0))
    asked = context(folder, {})
    source.bring(asked, None)
    server.shutdown()
    server.server_close()
    shards = [SourceFile(path, asked.output / path, 0, "") for path in files_of(asked.output)]
    told = json.dumps([records(source, shards), source.keyed(source.params)])
    return Golden({"records": json.loads(told.replace(host.replace(":", "+"), "HOST").replace(host, "HOST"))})


@golden("source", "sql")
def _sql(folder: Path) -> Golden:
    import sqlite3
    from contextlib import closing

    rule = rule_of("source", "sql")
    with closing(sqlite3.connect(folder / "made.db")) as connection, connection:
        connection.execute("CREATE TABLE made (id INTEGER, text TEXT, score REAL, split TEXT)")
        connection.executemany(
            "INSERT INTO made VALUES (?, ?, ?, ?)", [(2, "b", 0.5, "test"), (1, "a", None, None)]
        )
    source = rule(rule.Params(url="sqlite:///made.db", query="SELECT * FROM made", id="id", split="split"))
    asked = context(folder, {})
    source.bring(asked, None)
    shards = [SourceFile(path, asked.output / path, 0, "") for path in files_of(asked.output)]
    return Golden({"records": records(source, shards), "keyed": source.keyed(source.params)})


@golden("source", "huggingface")
def _huggingface(folder: Path) -> Golden:
    """A folder; what the hub's client does with its commits is no rule's business."""
    import pyarrow as pa

    rule, pixel = rule_of("source", "huggingface"), FILES["pixel.txt"]
    info = {"label": {"_type": "ClassLabel", "names": ["no", "yes"]}, "picture": {"_type": "Image"}}
    rows = {
        "text": ["a", "b", "c", "d"],
        "label": [0, 1, -1, 7],
        "picture": [{"bytes": pixel, "path": "x/p.png"}, None, {"bytes": b"none", "path": None}, None],
        "nested": [{"a": [1]}, {"a": []}, None, None],
    }
    table = pa.table(rows).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": info}})})
    (folder / "data" / "train").mkdir(parents=True)
    with pa.ipc.new_stream(folder / "data" / "train" / "x.arrow", table.schema) as writer:
        writer.write_table(table)
    card = b"---\nconfigs:\n- {config_name: one, data_files: [{split: first, path: 'train/*'}]}\n---\nwords\n"
    files = {"README.md": card, "train/x.arrow": (folder / "data" / "train" / "x.arrow").read_bytes(),
             "test.csv": b"text,label\nx,1\n"}  # fmt: skip
    found, exact = source_files(folder / "data", files), dict[str, Any]()
    for name, params in {"card": {}, "named": {"columns": {"kind": "label", "image": "picture"}}}.items():
        source = rule(rule.Params(path="data", **params), {"path": folder / "data"})
        read = [(file.path, _as_kept(one)) for file in found for one in source.read(file)]
        exact[name] = [[n, plainly(one)] for n, one in source.gather(read, Heard())]
        exact[f"{name}, types"] = source.field_types()
    return Golden(exact)


@golden("source", "s3")
def _s3(folder: Path) -> Golden:
    """What is read of the objects; what a server lists and gives is no rule's business."""
    rule = rule_of("source", "s3")
    source = rule(rule.Params(url="s3://team/calls/", label="parent", exclude="*.csv"))
    found = source_files(folder, {f"files/x/{path}": data for path, data in FILES.items()})
    return Golden({"records": records(source, found), "keyed": source.keyed(source.params)})


@golden("source", "qdrant")
def _qdrant(folder: Path) -> Golden:
    """What is read of the points; the client and its collections are tested elsewhere."""
    rule, exact = rule_of("source", "qdrant"), dict[str, Any]()
    points = [
        {"id": 1, "payload": {"body": "a", "meta": {"lang": "en"}, "set": "test"}, "vector": [0.5, 1]},
        {"id": "00000000-0000-0000-0000-000000000007", "payload": {"body": None}, "vector": None},
        {"id": 2, "payload": {"meta.lang": "de"}},
    ]
    found = source_files(folder, {"rows/a.jsonl": "\n".join(map(json.dumps, points)).encode()})
    mapped = {"fields": {"text": "body", "lang": "meta.lang"}, "vector": "v", "split": "set"}
    for name, params in {"all": {}, "mapped": mapped}.items():
        source = rule(rule.Params(path="x", collection="c", **params))
        exact[name] = [records(source, found), source.keyed(source.params)]
    return Golden(exact)


@golden("source", "mix")
def _mix(folder: Path) -> Golden:
    rule, exact = rule_of("source", "mix"), dict[str, Any]()
    inputs = {f"datasets.{name}": write_dataset(folder / name) for name in ("one", "two")}
    for stop in ("first_exhausted", "all_exhausted", 5):
        for unit in ("rows", "tokens"):
            params = rule.Params(datasets={"one": 0.3, "two": 0.7}, stop=stop, unit=unit)
            mix = rule(params, inputs)
            place = mix.fetch(context(folder, inputs))
            shards = [SourceFile(path, place / path, 0, "") for path in files_of(place)]
            found = [(record.source, record) for shard in shards for record in mix.read(shard)]
            taken = [number for number, _ in mix.gather(found, Heard())]
            exact[f"{stop}, {unit}"] = [[found[number][0], found[number][1].id] for number in taken]
    return Golden({**exact, "types": mix.field_types()})


@golden("source", "manifest")
def _manifest(folder: Path) -> Golden:
    """PNG alone: of audio and video FFmpeg decides, whose version is in the key."""
    rule, rows = rule_of("source", "manifest"), [
        {"id": "a", "frames_dir": "frames", "meta": {"caption": "a dot", "source_path": "a.mov", "duration": 2}},
        {"image": "frames/10.png", "split": "test", "n": 1}, {"path": "none.png"}, {"image": "../out.png"},
    ]  # fmt: skip
    pixel = FILES["pixel.txt"]
    files = {
        "frames/9.png": pixel,
        "frames/10.png": pixel,
        "rows.jsonl": "\n".join(map(json.dumps, rows)).encode(),
    }
    found = source_files(folder / "data", files)
    exact: dict[str, Any] = {}
    for frames in ("each", "first", "none"):
        source = rule(rule.Params(path="data/rows.jsonl", frames=frames), {"path": folder / "data"})
        read = [(file.path, _as_kept(one)) for file in found for one in source.read(file)]
        exact[frames] = [[n, plainly(one)] for n, one in source.gather(read, Heard())]
    return Golden(exact)


def _as_kept(found: Any) -> Any:
    """Media as references, as a runner remembers them."""
    if not isinstance(found, Raw):
        return found
    fields = {
        name: {"$media": v.kind, "digest": "", "path": v.name} if isinstance(v, Media) else v
        for name, v in found.fields.items()
    }
    return replace(found, fields=fields)


@golden("source", "command")
def _command(folder: Path) -> Golden:
    rule = rule_of("source", "command")
    source_files(folder / "raw", {"raw.md": FILES["a.md"]})
    run = "cat {inputs.raw}/raw.md > {output}/copied.md; printf '%s' {params.word} > {output}/word.txt"
    source = rule(rule.Params(run=run, inputs={"raw": "raw"}, params={"word": "it's"}))
    written = source.fetch(context(folder, {"raw": folder / "raw"}))
    found = source_files(written, {name: (written / name).read_bytes() for name in files_of(written)})
    return Golden({"keyed": rule.keyed(source.params), "records": records(source, found)})


def context(folder: Path, inputs: Mapping[str, Path], **more: Any) -> Context:
    for name in ("output", "scratch"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return Context(inputs, folder / "output", folder / "scratch", Heard(), base_dir=folder, **more)


@golden("transform", "chunk")
def _chunk(folder: Path) -> Golden:
    rule = rule_of("transform", "chunk")
    ways: dict[str, dict[str, Any]] = {
        "tokens": {"tokens": 7, "stride": 2},
        "words": {"words": 5, "stride": 1, "min": 2},
        "characters": {"characters": 20},
        "own tokens": {"tokens": 3, "tokenizer": "tokenizer"},
    }
    inputs = {"tokenizer": _tokenizer(folder / "tokenizer")}
    chunk = {way: rule(rule.Params(**params), inputs) for way, params in ways.items()}
    return Golden({way: [_plain(one.apply(item)) for item in items()] for way, one in chunk.items()})


@golden("transform", "strip_exif")
def _strip_exif(folder: Path) -> Golden:
    rule, found = rule_of("transform", "strip_exif"), {}
    for name, data in _tagged(folder).items():
        media = Media("image", folder / name, Path(name).suffix, {"exif": {"Orientation": 6.0}})
        for keeps in (True, False):
            (made,) = rule(rule.Params(orientation=keeps)).apply(Item("a", "a", "train", {"image": media}))
            content = made["image"].path.read_bytes()
            found[f"{name} {keeps}"] = [len(data) > len(content), digest_bytes(content), made["image"].facts]
    return Golden({"stripped": found})


def _tagged(folder: Path) -> dict[str, bytes]:
    """A dot with EXIF, a comment or a text: written by hand, so that no encoder's version tells."""
    exif = bytes.fromhex("4578696600004d4d002a000000080001011200030000000100060000000000 00".replace(" ", ""))
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + b"\xff\xfe\0\x06note"
    png = FILES["pixel.txt"]
    text = b"tEXtAuthor\0Ann"
    chunk = (len(text) - 4).to_bytes(4, "big") + text + zlib.crc32(text).to_bytes(4, "big")
    jpeg = _DOT_JPEG[:2] + segment + _DOT_JPEG[2:]
    made = {"dot.png": png[:33] + chunk + png[33:], "dot.jpg": jpeg}
    for name, data in made.items():
        (folder / name).write_bytes(data)
    return made


@golden("transform", "convert_image")
def _convert_image(folder: Path) -> Golden:
    """PNG by its pixels: the file's bytes are zlib's, whose version is in the key."""
    from PIL import Image

    rule, found = rule_of("transform", "convert_image"), {}
    ways: dict[str, dict[str, Any]] = {
        "as it is": {}, "smaller": {"size": 40}, "inside": {"size": (50, 20)},
        "cover": {"size": (30, 30), "fit": "cover"}, "stretch": {"size": (200, 10), "fit": "stretch"},
        "gray": {"mode": "gray", "size": 16},
    }  # fmt: skip
    for way, params in ways.items():
        for item in _images(folder):
            (made,) = rule(rule.Params(format="png", **params)).apply(item)
            with Image.open(made["image"].path) as image:
                found[f"{way} {item.id}"] = [image.mode, *image.size, digest_bytes(image.tobytes())]
    return Golden({"converted": found})


@golden("transform", "frames")
def _frames(folder: Path) -> Golden:
    """Which frames, and when; of their pixels the mean, which codec and processor move by less than a step."""
    import numpy as np
    from PIL import Image

    rule, item = rule_of("transform", "frames"), _clip(folder)
    times: dict[str, Any] = {}
    means: dict[str, float] = {}
    for way, params in {
        "every": {"every": 0.5},
        "count": {"count": 3},
        "keyframes": {"keyframes": True},
    }.items():
        made = rule(rule.Params(format="png", **params)).apply(item)
        times[way] = [one["time"] for one in made]
        pixels = [np.asarray(Image.open(one["image"].path)) for one in made]
        means[way] = round(float(np.mean(pixels)))
    return Golden({"times": times}, figures=means)


@golden("transform", "augment")
def _augment(folder: Path) -> Golden:
    """Flips and crops by pixels; what filters, colors and noise give by the mean, which a processor moves little."""
    import numpy as np
    from PIL import Image

    rule, image = rule_of("transform", "augment"), _images(folder)[0]
    exact: dict[str, Any] = {}
    figures: dict[str, float] = {}
    whole = rule(rule.Params(copies=3, flip=0.5, crop=0.5, number_in="n", image_format="png"))
    for number, made in enumerate(whole.apply(image)):
        with Image.open(made["image"].path) as shown:
            exact[f"image {number}"] = [made["n"], *shown.size, digest_bytes(shown.tobytes())]
    colors = {
        "rotate": 20,
        "brightness": [0.5, 1.5],
        "contrast": [0.5, 1],
        "saturation": 0.5,
        "noise": [1, 9],
    }
    (made,) = rule(rule.Params(keep=False, image_format="png", **colors)).apply(image)
    figures["colors"] = round(float(np.asarray(Image.open(made["image"].path)).mean()))
    (audio,) = _sound_rule("extract_audio").apply(_clip(folder))
    sound = rule(rule.Params(keep=False, copies=2, snr=[10, 30], speed=[0.8, 1.2], gain=[-6, 6]))
    for number, made in enumerate(sound.apply(Item("a", "a", "train", {"audio": audio["audio"]}))):
        exact[f"sound {number}"] = _sound(made["audio"])
        figures[f"sound {number}"] = _loudness(made["audio"])["loudness"]
    return Golden(exact, figures=figures)


@golden("transform", "render_text")
def _render_text(folder: Path) -> Golden:
    """By pixels, which Pillow and the font library that it brings shape; both are in the key."""
    from PIL import Image

    rule, found = rule_of("transform", "render_text"), {}
    small = {"width": 240, "height": 120, "font_size": 12}
    ways: dict[str, dict[str, Any]] = {
        "pages": {}, "joined": {"pages": "join", "text": "whole"}, "first": {"pages": "first", "text": "none"},
        "colors": {"color": "#203040", "background": "#fffbe6", "margin": 4, "line_spacing": 2.0},
    }  # fmt: skip
    text = "\n".join([*TEXTS[:3], "    indented", "", "x" * 90, "a\tb\x07\u200bc", "r\u00e9sum\u00e9"])
    for way, params in ways.items():
        pages = rule(rule.Params(**small, **params)).apply(Item("a", "a", "train", {"text": text}))
        for number, page in enumerate(pages):
            with Image.open(page["image"].path) as image:
                shown = [
                    *image.size,
                    page["image"].facts.get("missing_characters"),
                    digest_bytes(image.tobytes()),
                ]
            found[f"{way} {number}"] = [page.get("text"), *shown]
    return Golden({"drawn": found})


@golden("transform", "extract_audio")
def _extract_audio(folder: Path) -> Golden:
    (made,) = _sound_rule("extract_audio", rate=8000, channels=1).apply(_clip(folder))
    return Golden({"fields": sorted(made), **_sound(made["audio"])}, figures=_loudness(made["audio"]))


@golden("transform", "resample")
def _resample(folder: Path) -> Golden:
    (audio,) = _sound_rule("extract_audio").apply(_clip(folder))
    exact: dict[str, Any] = {}
    figures: dict[str, float] = {}
    for way, params in {"16000": {}, "8000 stereo": {"rate": 8000, "channels": 2}}.items():
        (made,) = _sound_rule("resample", **params).apply(Item("a", "a", "train", {"audio": audio["audio"]}))
        exact[way] = _sound(made["audio"])
        figures |= {f"{way} {name}": value for name, value in _loudness(made["audio"]).items()}
    return Golden(exact, figures=figures)


def _sound_rule(name: str, **params: Any) -> Any:
    rule = rule_of("transform", name)
    return rule(rule.Params(**params))


def _sound(media: Media) -> dict[str, Any]:
    return {name: media.facts[name] for name in ("sample_rate", "channels", "duration", "format")}


def _loudness(media: Media) -> dict[str, float]:
    import wave

    import numpy as np

    with wave.open(str(media.path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    return {"loudness": round(float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))), -1)}


def _clip(folder: Path) -> Item:
    """Two seconds of gray that brightens, with a tone; raw video and PCM, so that no encoder's version tells."""
    from fractions import Fraction

    import av
    import numpy as np

    path = folder / "clip.mkv"
    with av.open(str(path), "w") as file:
        video, audio = (
            file.add_stream("rawvideo", rate=10),
            file.add_stream("pcm_s16le", rate=16_000, layout="mono"),
        )
        video.width, video.height, video.pix_fmt, video.time_base = 32, 32, "yuv420p", Fraction(1, 10)
        for number in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((48, 32), 60 + 6 * number, np.uint8), format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            file.mux(video.encode(frame))
        tone = (8000 * np.sin(np.arange(32_000) * 2 * np.pi * 440 / 16_000)).astype(np.int16)
        sound = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
        sound.sample_rate, sound.pts, sound.time_base = 16_000, 0, Fraction(1, 16_000)
        file.mux(audio.encode(sound))
    facts = {"duration": 2.0, "audio_codec": "pcm_s16le"}
    return Item("clip", "clip.mkv", "train", {"video": Media("video", path, ".mkv", facts)})


def _plain(fields: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [dict(one) for one in fields]


def _tokenizer(folder: Path) -> Path:
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {word: n for n, word in enumerate(["[UNK]", "the", "harbour", "was", "."])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


PAGE = (
    "<html><body><nav><a href='/'>Home</a></nav><article><h1>Boats</h1><p>A first paragraph that is long enough to "
    "be kept by a reader of pages, with a <a href='/x'>link</a>.</p><table><tr><td>one</td><td>two</td></tr></table>"
    "</article><footer>imprint</footer></body></html>"
)


@golden("transform", "clean_html")
def _clean_html(folder: Path) -> Golden:
    rule = rule_of("transform", "clean_html")
    ways: dict[str, dict[str, Any]] = {
        "defaults": {},
        "links": {"links": True},
        "all": {"whole_page": True, "to": "all"},
    }
    found = items((PAGE, "no tags, 1 < 2"))
    return Golden(
        {way: [_plain(rule(rule.Params(**p)).apply(one)) for one in found] for way, p in ways.items()}
    )


@golden("transform", "normalize_text")
def _normalize_text(folder: Path) -> Golden:
    rule = rule_of("transform", "normalize_text")
    text = "\ufeffCafe\u0301 “ﬁne” – „x‘\r\n \u00a0\v\x07a\u200bb  c \n\n\n\nend\u2028"
    found = [
        *items((text, *TEXTS)),
        Item("chat", "made.jsonl", "train", {"chat": CHAT, "n": 1.0, "text": None}),
    ]
    ways: dict[str, dict[str, Any]] = {
        "defaults": {},
        "all": {"unicode": "NFKC", "whitespace": "collapse", "quotes": True, "dashes": True},
        "little": {"unicode": None, "whitespace": "keep", "line_ends": False, "control_characters": False},
    }
    return Golden(
        {way: [_plain(rule(rule.Params(**p)).apply(one)) for one in found] for way, p in ways.items()}
    )


@golden("transform", "template")
def _template(folder: Path) -> Golden:
    rule = rule_of("transform", "template")
    alpaca = {"instruction": "Name a boat.", "input": "In French.", "output": "Bateau.", "n": 1.0}
    turns = [{"from": "human", "value": "Hello?"}, {"from": "gpt", "value": "Hello."}]
    rows = {"alpaca": alpaca, "sharegpt": {"conversations": turns}, "messages": {"messages": CHAT}}
    exact: dict[str, Any] = {}
    for form, row in rows.items():
        for to in ("messages", "sharegpt", "alpaca", "prompt_completion"):
            if form != to:
                one = rule(rule.Params(form=form, to=to))
                exact[f"{form} to {to}"] = _plain(one.apply(Item("a", "made.jsonl", "train", row)))
    own = rule(
        rule.Params(prompt="{n}. {instruction}", completion="{output}", system="Be brief.", to="messages")
    )
    return Golden({**exact, "own": _plain(own.apply(Item("a", "made.jsonl", "train", alpaca)))})


@golden("gate", "near_duplicates")
def _near_duplicates(folder: Path) -> Golden:
    rule = rule_of("gate", "near_duplicates")
    exact: dict[str, Any] = {}
    for method in ("minhash", "simhash"):
        params = rule.Params(method=method, threshold=0.5, shingle=2)
        gate, found = rule(params), items()
        signatures = [gate.signature(item) for item in found]
        alike = [[gate.similarity(a, b) for b in found] for a in found]
        exact[f"{method} signatures"] = [signature.hex() for signature in signatures]
        exact[f"{method} candidates"] = [list(pair) for pair in gate.candidates(signatures, params)]
        exact[f"{method} verdicts"] = [[[s, gate.is_similar(s, params)] for s in row] for row in alike]
    return Golden(
        {
            **exact,
            **_near_media(rule, "phash", _images(folder)),
            **_near_media(rule, "chroma", _sounds(folder)),
            **_near_directions(rule),
        }
    )


def _near_directions(rule: Any) -> dict[str, Any]:
    """Of embeddings by formula; what models give is the models' own."""
    import numpy as np

    params = rule.Params(method="embedding", model="model:some", threshold=0.8)
    gate, places = rule(params), np.arange(8)
    found = [np.rint(9000 * np.sin(places * (n % 5) + n / 9)).astype("<i2").tobytes() for n in range(1, 12)]
    cosines = [[gate.alike(one, other) for other in found] for one in found]
    return {
        "embedding candidates": list(map(list, gate.candidates(found, params))),
        "embedding cosines": cosines,
    }


def _near_media(rule: Any, method: str, found: list[Item]) -> dict[str, Any]:
    params = rule.Params(method=method)
    gate = rule(params)
    signatures = [gate.signature(item) for item in found]
    return {
        f"{method} signatures": [signature.hex() for signature in signatures],
        f"{method} candidates": [list(pair) for pair in gate.candidates(signatures, params)],
        f"{method} verdicts": [[gate.similarity(a, b) for b in found] for a in found],
    }


def _sounds(folder: Path) -> list[Item]:
    """A tune, the same a little later and quieter, and another one; WAV, so that no decoder rounds."""
    import wave

    import numpy as np

    steps = np.arange(16_000) // 2000
    tunes = [
        np.array(notes)[steps % 8]
        for notes in ((220, 262, 330, 294, 392, 349, 262, 247), (440, 294, 330, 523, 247, 220, 392, 262))
    ]
    waves = [np.rint(8000 * np.sin(2 * np.pi * np.cumsum(tune) / 8000)).astype("<i2") for tune in tunes]
    forms = (waves[0], np.concatenate([np.zeros(1600, "<i2"), waves[0] // 2]), waves[1])
    made = []
    for n, samples in enumerate(forms):
        with wave.open(str(folder / f"{n}.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(samples.tobytes())
        media = Media("audio", folder / f"{n}.wav", ".wav", {"duration": len(samples) / 8000})
        made.append(Item(f"{n}", f"{n}.wav", "train", {"audio": media}))
    return made


def _images(folder: Path) -> list[Item]:
    """A drawing, a mild crop of it, it in 16 bits, and another one; PNG, so that no decoder rounds."""
    import numpy as np
    from PIL import Image

    x, y = np.mgrid[0:96, 0:128]
    drawing = ((x // 12 * 37 + y // 16 * 61) % 256).astype(np.uint8)
    forms = (drawing, drawing[3:, 2:-3], drawing.astype(np.uint16) << 8, drawing[::-1] // 2)
    made = []
    for number, form in enumerate(forms):
        Image.fromarray(form).save(folder / f"{number}.png")
        media = Media(
            "image", folder / f"{number}.png", ".png", {"width": form.shape[1], "height": form.shape[0]}
        )
        made.append(Item(f"image{number}", "made", "train", {"image": media}))
    return made


@golden("gate", "language")
def _language(folder: Path) -> Golden:
    rule = rule_of("gate", "language")
    german = (
        "Der Hafen war an diesem Morgen still, und die Boote lagen ruhig, denn niemand war hinausgefahren."
    )
    gate = rule(rule.Params(languages=["en"], among=["de", "en", "ja"], min_confidence=0.5))
    measured = [gate.measure(item) for item in items((*TEXTS, german))]
    return Golden(
        {"measured": measured, "verdicts": [told(gate.decide(one, gate.params)) for one in measured]}
    )


@golden("gate", "decontaminate")
def _decontaminate(folder: Path) -> Golden:
    rule = rule_of("gate", "decontaminate")
    params = rule.Params(against="dataset:exam", ngram=6, shortest=3)
    gate = rule(params, {"against": write_dataset(folder / "exam")})
    found = items(
        (
            "It is said: THE HARBOUR, was quiet that morning (and the boats lay still).",
            "Nothing of it.",
            *TEXTS,
        )
    )
    measured = [gate.measure(item) for item in found]
    return Golden({"measured": measured, "verdicts": [told(gate.decide(one, params)) for one in measured]})


@golden("gate", "exact_duplicates")
def _exact_duplicates(folder: Path) -> Golden:
    rule = rule_of("gate", "exact_duplicates")
    found = items((*TEXTS, TEXTS[0].upper().replace(" ", "  "), "ﬁn Cafe\u0301", "fin CAFÉ", TEXTS[1]))
    exact: dict[str, Any] = {}
    for ignore in ([], ["case"], ["case", "whitespace", "unicode"]):
        gate = rule(rule.Params(ignore=ignore))
        signatures = [gate.signature(item) for item in found]
        pairs = [list(pair) for pair in gate.candidates(signatures, gate.params)]
        exact["+".join(ignore) or "raw"] = [[signature.hex() for signature in signatures], pairs]
    return Golden(exact)


@golden("gate", "limits")
def _limits(folder: Path) -> Golden:
    rule, found = rule_of("gate", "limits"), items()
    gate = rule(rule.Params(min_words=5, max_lines=3, max_bytes=100))
    measured = [gate.measure(item) for item in [*found, *_images(folder)]]
    return Golden(
        {"measured": measured, "verdicts": [told(gate.decide(one, gate.params)) for one in measured]}
    )


@golden("gate", "pii")
def _pii(folder: Path) -> Golden:
    """Of the own patterns; what Presidio finds is Presidio's, and its version is in the key."""
    rule = rule_of("gate", "pii")
    found = [*items(), Item("chat", "made.jsonl", "train", {"chat": CHAT, "text": "10.0.0.1"})]
    exact: dict[str, Any] = {"measured": [rule(rule.Params()).measure(item) for item in found]}
    for action in ("drop", "redact"):
        gate = rule(rule.Params(action=action))
        verdicts = [gate.decide_item(item, gate.measure(item), gate.params) for item in found]
        exact[action] = [told(verdict) for verdict in verdicts]
    return Golden(exact)


@golden("gate", "quality")
def _quality(folder: Path) -> Golden:
    rule = rule_of("gate", "quality")
    found = items((*TEXTS, " ".join([TEXTS[0]] * 8), "\n".join(TEXTS * 9)))
    gate = rule(rule.Params())
    exact: dict[str, Any] = {"measured": [gate.measure(item) for item in found]}
    ways: dict[str, dict[str, Any]] = {
        "gopher": {}, "c4": {"rules": "c4"}, "fineweb": {"rules": "fineweb"}, "low": {"min_words": 3},
    }  # fmt: skip
    for name, params in ways.items():
        chosen = rule.Params(**params)
        exact[name] = [told(gate.decide(gate.measure(item), chosen)) for item in found]
    return Golden(exact)


@golden("versioner", "snapshot")
def _snapshot(folder: Path) -> Golden:
    """Digests and sizes of shards are left out: their bytes are pyarrow's, whose version is in the key."""
    rule, own = rule_of("versioner", "snapshot"), context(folder, {}, facts=_facts())
    write_dataset(own.output)
    rule(rule.Params(tag="1.0", card={"license": "mit"})).write(own)
    texts = {path: (own.output / path).read_text() for path in files_of(own.output) if "/" not in path}
    return Golden({path: _without_sizes(text) for path, text in texts.items()})


@golden("versioner", "dvc")
def _dvc(folder: Path) -> Golden:
    """Its result alone: what it does in a repository is no part of that."""
    rule, own = rule_of("versioner", "dvc"), context(folder, {}, facts=_facts())
    write_dataset(own.output)
    rule(rule.Params(repository="registry", path="notes", tag="1.0")).write(own)
    texts = {path: (own.output / path).read_text() for path in files_of(own.output) if "/" not in path}
    return Golden({path: _without_sizes(text) for path, text in texts.items()})


@golden("versioner", "lakefs")
def _lakefs(folder: Path) -> Golden:
    """Its result alone, as of dvc."""
    rule, own = rule_of("versioner", "lakefs"), context(folder, {}, facts=_facts())
    write_dataset(own.output)
    where = {"endpoint": "https://lake", "repository": "data", "path": "notes"}
    params = rule.Params(**where, access_key_id="k", secret_access_key="s", tag="1.0")
    rule(params).write(own)
    texts = {path: (own.output / path).read_text() for path in files_of(own.output) if "/" not in path}
    return Golden(
        {**{path: _without_sizes(text) for path, text in texts.items()}, "keyed": rule.keyed(params)}
    )


def _facts() -> dict[str, Any]:
    card = {"license": "cc-by-4.0", "language": "en", "title": "Boats", "description": "Of a harbour."}
    return {"card": card, "gates": ["pii"], "inputs": {"dataset": {"data/train-*": "ab" * 32}}}


def _without_sizes(text: str) -> str:
    return re.sub(r'"bytes": \d+', '"bytes": SIZE', re.sub(r"\b[0-9a-f]{64}\b", "DIGEST", text))


FIELDS = {"text": "text", "label": "label", "score": "number", "chat": "messages", "more": "json"}


def write_dataset(folder: Path) -> Path:
    """A dataset as it lies before the versioner: two splits, and rejected rows."""
    from spark_build.contract.shards import rejected_table, table_of, write_shard

    rows = [
        {"id": f"r{n}", "source": "made.jsonl", "text": text, "label": "ab"[n % 2], "score": n / 2,
         "chat": CHAT, "more": {"n": n}, "meta": {"line": n}}
        for n, text in enumerate(TEXTS)
    ]  # fmt: skip
    rejected = {"id": ["x"], "source": ["bad.txt"], "gate": ["files"], "reason": ["empty"]}
    for path, table in {
        "data/train-00000.parquet": table_of(rows[:4], FIELDS),
        "data/test-00000.parquet": table_of(rows[4:], FIELDS),
        "rejected/ingest-00000.parquet": rejected_table(
            {**rejected, "score": [None], "threshold": [None], "split": [None], "matched": [None],
             "detail": ["0 bytes"]}
        ),
    }.items():  # fmt: skip
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        write_shard(table, folder / path)
    return folder


# stages: what their own runners do, with rules of tests/golden/own_rules.py


@golden("stage", "ingest")
def _ingest(folder: Path) -> Golden:
    rows = [{"text": f"{text} {n}", "n": n, "label": "ab"[n % 2]} for n in range(12) for text in TEXTS[:2]]
    lines = [json.dumps(row).encode() for row in rows]
    source_files(
        folder / "data",
        {"rows.jsonl": b"\n".join([*lines, b"not json", lines[0]]), "b.txt": b"One two three"},
    )
    options = {
        "splits": {"ratios": {"train": 0.7, "test": 0.3}, "balance": "label"},
        "fields": {"label": "label", "n": "number"},
    }
    steps = [step("Lines", inputs={"path": str(folder / "data")}), step("Halves", options={"only": "train"})]
    return Golden(
        {**run_stage(folder, "ingest", steps, options=options), "no options": _plainly_ingested(folder)}
    )


def _plainly_ingested(folder: Path) -> dict[str, Any]:
    steps = [step("Lines", inputs={"path": str(folder / "data")})]
    return run_stage(folder / "plain", "ingest", steps)


@golden("stage", "filter")
def _filter(folder: Path) -> Golden:
    data = write_dataset(folder / "dataset")
    steps = [step("Alike", {"threshold": 0.7}), step("Short", {"most": 104}), step("Masked")]
    return Golden(run_stage(folder, "filter", steps, {"dataset": data}))


@golden("stage", "version")
def _version(folder: Path) -> Golden:
    options = {"card": {"license": "mit"}, "tag": "1", "gates": ["pii"]}
    data = write_dataset(folder / "dataset")
    return Golden(run_stage(folder, "version", [step("Facts")], {"dataset": data, "ingest": data}, options))


@golden("stage", "train")
def _train(folder: Path) -> Golden:
    data = write_dataset(folder / "dataset")
    return Golden(run_stage(folder, "train", [step("Counting", {"epochs": 3})], {"dataset": data}))


@golden("stage", "eval")
def _eval(folder: Path) -> Golden:
    data = write_dataset(folder / "dataset")
    steps = [step("Size"), step("Leaves")]
    return Golden(run_stage(folder, "eval", steps, {"dataset": data}, {"split": "test"}))


@golden("stage", "package")
def _package(folder: Path) -> Golden:
    trained = write_dataset(folder / "trained")
    return Golden(run_stage(folder, "package", [step("Copying")], {"trained": trained, "model": trained}))


def step(
    rule: str, params: Mapping[str, Any] | None = None, *, inputs: Any = None, options: Any = None
) -> Any:
    from spark_build.core.job import JobStep

    manifest = {"rule": rule, "revision": 1, "params": dict(params or {}), "libraries": {"numpy": "2.4"}}
    return JobStep(
        rule, f"tests.golden.own_rules:{rule}", dict(params or {}), digest_bytes(rule.encode()),
        inputs or {}, options or {}, label=rule.lower(), manifest=manifest,
    )  # fmt: skip


def run_stage(
    folder: Path,
    kind: str,
    steps: Sequence[Any],
    inputs: Mapping[str, Path] | None = None,
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What the runner gives: rows of shards instead of their bytes, which are pyarrow's."""
    from spark_build.core.job import Job
    from spark_build.core.ports import Services
    from spark_build.stages import run_stage
    from spark_build.storage.memo import LocalMemo

    places = {name: folder / kind / name for name in ("output", "scratch", "store")}
    for place in places.values():
        place.mkdir(parents=True)
    job = Job(
        f"x/{kind}", kind, "0" * 64, {"numerics": {"threads": 1}, "inputs": {"dataset": {"data/": "cd" * 32}}},
        tuple(steps), {name: str(place) for name, place in (inputs or {}).items()}, str(folder),
        str(places["store"]), str(places["output"]), str(places["scratch"]), "", "", options=options or {},
    )  # fmt: skip
    heard = Heard()
    outcome = run_stage(job, Services(LocalMemo(places["store"]), heard))
    told = {"metrics": heard.metrics, "notes": heard.notes}
    return {"files": _contents(places["output"]), "outcome": asdict(outcome), "told": told}


def _contents(folder: Path) -> dict[str, Any]:
    import pyarrow.parquet as pq

    def content(path: Path) -> Any:
        if path.suffix != ".parquet":
            return path.read_text()
        table = pq.read_table(path)
        told = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
        return {"columns": [str(column) for column in table.schema], "told": told, "rows": table.to_pylist()}

    return {path: content(folder / path) for path in files_of(folder)}
