"""Tokenizers trained from scratch: byte-level BPE for language models, WordPiece for BERT.

The same texts in the same order give the same tokenizer, byte for byte: training is held to one thread.
"""

import os
from collections import Counter
from collections.abc import Iterable
from typing import Any

END, PAD = "<|endoftext|>", "<|pad|>"
_BERT_SPECIAL = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}


def train_tokenizer(kind: str, texts: Iterable[str], vocab_size: int) -> Any:
    """A transformers tokenizer of `kind` ('bpe', 'wordpiece') with at most `vocab_size` tokens."""
    os.environ["TOKENIZERS_PARALLELISM"] = (
        "false"  # several threads may break ties between merges differently
    )
    return {"bpe": _bpe, "wordpiece": _wordpiece}[kind](texts, vocab_size)


def _bpe(texts: Iterable[str], vocab_size: int) -> Any:
    """GPT-2's scheme: bytes as alphabet, so that no text is unknown (Radford et al. 2019, section 2.2)."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END, PAD],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        eos_token=END,
        bos_token=END,
        pad_token=PAD,
        padding_side="right",
        clean_up_tokenization_spaces=False,
    )


def _wordpiece(texts: Iterable[str], vocab_size: int) -> Any:
    """BERT's uncased scheme."""
    from tokenizers import models, processors
    from transformers import PreTrainedTokenizerFast

    tokenizer = _bert_pipeline()
    tokenizer.model = models.WordPiece(_wordpiece_vocabulary(list(texts), vocab_size), unk_token="[UNK]")
    cls, sep = _BERT_SPECIAL["cls"], _BERT_SPECIAL["sep"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {sep} $B:1 {sep}:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (cls, sep)],
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        **{f"{role}_token": token for role, token in _BERT_SPECIAL.items()},
    )


def _wordpiece_vocabulary(texts: list[str], vocab_size: int) -> dict[str, int]:
    """Token -> id.

    The trainer numbers the continuing pieces ('##a') as a randomly seeded hash map gives them, and breaks ties
    between merges by number. Given as special tokens they are numbered beforehand; in the finished
    vocabulary they are tokens like any other.
    """
    from tokenizers import trainers

    tokenizer = _bert_pipeline()
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(tokenizer.normalizer.normalize_str(text))
    common = sorted(counts, key=lambda character: (-counts[character], character))
    alphabet = sorted(c for c in common[: min(1000, vocab_size // 4)] if not c.isspace())
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        special_tokens=[*_BERT_SPECIAL.values(), *(f"##{c}" for c in alphabet)],
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return dict(tokenizer.get_vocab())


def _bert_pipeline() -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.WordPiece(unk_token=_BERT_SPECIAL["unk"]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer
