"""Speed of the gates on synthetic text: near-duplicates against datasketch, the others in MB/s.

python benchmarks/gates.py [--documents 20000]      (datasketch is measured where it is installed)
"""

import argparse
import random
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from spark_build.contract import Item
from spark_build.gates.near_duplicates import NearDuplicates
from spark_build.gates.near_duplicates import Params as NearDuplicatesParams
from spark_build.gates.pii import Params as PiiParams
from spark_build.gates.pii import Pii
from spark_build.gates.quality import Params as QualityParams
from spark_build.gates.quality import Quality
from spark_build.modalities.text.shingles import shingles_of

T = TypeVar("T")
THRESHOLD = 0.8
WORDS = 170  # about 1 KB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=20_000)
    texts = corpus(parser.parse_args().documents)
    megabytes = sum(map(len, texts)) / 1e6
    print(f"{len(texts):,} documents, {megabytes:.1f} MB, one in ten nearly the one before")
    for method in ("minhash", "simhash"):
        report(f"near_duplicates {method}", lambda m=method: ours(texts, m), len(texts))
    try:
        import datasketch  # noqa: F401
    except ImportError:
        print("datasketch is not installed")
    else:
        report("datasketch MinHash, MinHashLSH", lambda: theirs(texts), len(texts))
    items = [Item("", "", "", {"text": text}) for text in texts[: len(texts) // 4]]
    for gate in (Pii(PiiParams()), Quality(QualityParams())):
        seconds, _ = timed(lambda g=gate: g.measure_many(items))
        print(f"{type(gate).__name__:32} {megabytes / 4 / seconds:8.1f} MB/s")


def corpus(count: int) -> list[str]:
    rnd = random.Random(1)
    texts: list[str] = []
    for number in range(count):
        words = texts[-1].split() if number % 10 == 9 else [f"w{rnd.randrange(20_000)}" for _ in range(WORDS)]
        words[number % WORDS] = "changed"
        texts.append(" ".join(words))
    return texts


def ours(texts: Sequence[str], method: str) -> int:
    gate = NearDuplicates(NearDuplicatesParams(threshold=THRESHOLD, method=method))
    items = [Item("", "", "", {"text": text}) for text in texts]
    kept = [True] * len(items)
    size = gate.batch_items
    batches = (items[start : start + size] for start in range(0, len(items), size))
    signatures = [value for batch in batches for value in gate.signature_many(batch)]
    for one, other in gate.candidates(signatures, gate.params, kept.__getitem__):
        if kept[one] and gate.is_similar(gate.similarity(items[one], items[other]), gate.params):
            kept[other] = False
    return kept.count(False)


def theirs(texts: Sequence[str]) -> int:
    from datasketch import MinHash, MinHashLSH

    lsh, dropped = MinHashLSH(threshold=THRESHOLD, num_perm=128), 0
    for number, text in enumerate(texts):
        sketch = MinHash(num_perm=128)
        sketch.update_batch([shingle.encode() for shingle in shingles_of(text, 5, "words")])
        if lsh.query(sketch):
            dropped += 1
        else:
            lsh.insert(number, sketch)
    return dropped


def report(name: str, run: Callable[[], int], documents: int) -> None:
    seconds, dropped = timed(run)
    print(f"{name:32} {documents / seconds:8,.0f} documents/s   dropped {dropped:,}")


def timed(run: Callable[[], T]) -> tuple[float, T]:
    started = time.process_time()
    result = run()
    return time.process_time() - started, result


if __name__ == "__main__":
    main()
