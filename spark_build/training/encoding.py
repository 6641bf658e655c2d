"""Rows to tokens, with what counts in the loss and what was left out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from spark_build.core.errors import BadInput
from spark_build.core.ports import Reporter
from spark_build.training.forms import Form, Segment
from spark_build.training.packing import pack
from spark_build.training.token_rows import TokenRows

_ROWS_AT_ONCE = 512  # enough that the tokenizer is called rarely, few enough that memory stays flat


@dataclass
class Left:
    """Rows that training does not see whole, or not at all."""

    empty: int = 0  # no text
    masked: int = 0  # cut before the first token that counts
    cut: int = 0  # longer than max_length


def encode(
    rows: Iterable[Mapping[str, Any]], form: Form, tokenizer: Any, *, max_length: int, packing: bool
) -> tuple[TokenRows, Left]:
    """The rows' tokens, each row ended by the end-of-text token, cut to `max_length` or packed into such blocks."""
    left = Left()
    limit = None if packing else max_length
    examples = TokenRows.of(_examples(rows, form, tokenizer, limit, left))
    return (pack(examples, max_length) if packing else examples), left


def prepare(
    rows: Any, form: Form, tokenizer: Any, *, max_length: int, packing: bool, report: Reporter
) -> TokenRows:
    """What `encode` gives, with the count of supervised tokens printed and recorded.

    Errors: BadInput where no row holds text, or all tokens are masked.
    """
    examples, left = encode(rows, form, tokenizer, max_length=max_length, packing=packing)
    count = examples.supervised_tokens
    report.note("supervised_tokens", count)
    report.note("rows_left_out", {"empty": left.empty, "masked": left.masked, "cut": left.cut})
    report.log(
        f"{count:,} of {len(examples.tokens):,} tokens are supervised, in {len(examples):,} "
        f"{'blocks' if packing else 'examples'} ({form.kind}); "
        f"rows: {left.empty} empty, {left.masked} masked whole, {left.cut} cut at {max_length} tokens"
    )
    if count == 0:
        raise _nothing_to_learn(left, form, max_length)
    return examples


def _nothing_to_learn(left: Left, form: Form, max_length: int) -> BadInput:
    if left.masked:
        return BadInput(
            f"all tokens are masked: in {left.masked} rows the answer begins behind max_length ({max_length} tokens)",
            fix="raise `max_length`, or shorten the prompts",
        )
    return BadInput(
        f"no row holds text to learn from ({left.empty} are empty in {', '.join(form.fields)})",
        fix="look at the dataset (`spark show`), or name other fields",
    )


def _examples(
    rows: Iterable[Mapping[str, Any]], form: Form, tokenizer: Any, limit: int | None, left: Left
) -> Iterator[tuple[list[int], list[bool]]]:
    begin = begin_tokens(tokenizer)
    source = iter(rows)
    while chunk := list(islice(source, _ROWS_AT_ONCE)):
        segmented = [segments for row in chunk if (segments := form.segments(row, tokenizer))]
        left.empty += len(chunk) - len(segmented)
        for ids, marks in _tokenized(segmented, tokenizer, begin):
            left.cut += limit is not None and len(ids) > limit
            ids, marks = ids[:limit], marks[:limit]
            if any(marks[1:]):
                yield ids, marks
            else:
                left.masked += 1


def _tokenized(
    rows: Sequence[Sequence[Segment]], tokenizer: Any, begin: list[int]
) -> Iterator[tuple[list[int], list[bool]]]:
    texts = [text for segments in rows for text, _ in segments]
    encoded = iter(tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"] if texts else [])
    for segments in rows:
        ids: list[int] = []
        marks: list[bool] = []
        for (_, is_supervised), tokens in zip(segments, encoded, strict=False):
            ids += tokens
            marks += [is_supervised] * len(tokens)
        yield _framed(ids, marks, begin, tokenizer.eos_token_id)


def _framed(ids: list[int], marks: list[bool], begin: list[int], end: int) -> tuple[list[int], list[bool]]:
    """With the begin-of-text token in front, where the model has one, and the end-of-text token behind, to be learned.

    A chat template may have set either already: then they stay as they are.
    """
    if begin and ids[: len(begin)] != begin:
        ids, marks = begin + ids, [False] * len(begin) + marks
    if marks and marks[-1] and end not in ids[-2:]:  # a template may set a new line behind it
        ids, marks = [*ids, end], [*marks, True]
    return ids, marks


def begin_tokens(tokenizer: Any) -> list[int]:
    """The tokens that this tokenizer sets before every text: [bos] for Llama, [] for GPT-2."""
    with_special: list[int] = tokenizer("a")["input_ids"]
    bos = tokenizer.bos_token_id
    return [bos] if bos is not None and with_special[:1] == [bos] else []
