"""A tiny BERT with a real WordPiece tokenizer, trained for seconds to know a handful of rude words."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

NICE = [
    "the", "weather", "is", "nice", "today", "and", "we", "like", "to", "read", "books", "in", "our",
    "garden", "with", "good", "friends",
]  # fmt: skip
RUDE = ["idiot", "stupid", "ugly", "moron"]
THREATS = ["kill", "hurt", "destroy"]
POSITIONS = 64


def train_classifier(
    folder: Path, labels: Mapping[str, list[str]], problem_type: str, steps: int = 150
) -> Any:
    """Saves config, tokenizer and safetensors; `labels` names the words that make each label true."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(1)
    tokenizer = _tokenizer()
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=POSITIONS, num_labels=len(labels),
        problem_type=problem_type, id2label=dict(enumerate(labels)),
        label2id={name: n for n, name in enumerate(labels)},
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    model = BertForSequenceClassification(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(steps):
        texts = [_sentence() for _ in range(32)]
        targets = torch.tensor(
            [[any(w in words for w in t.split()) for words in labels.values()] for t in texts]
        )
        wanted = targets.float() if problem_type.startswith("multi") else targets.int().argmax(-1)
        batch = tokenizer(texts, padding=True, return_tensors="pt")
        model(**batch, labels=wanted).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model


def _sentence() -> str:
    import torch

    def pick(words: list[str]) -> str:
        return words[int(torch.randint(len(words), ()))]

    words = [pick(NICE) for _ in range(int(torch.randint(3, 12, ())))]
    for bad in (RUDE, THREATS):
        if torch.rand(()) < 0.4:
            words[int(torch.randint(len(words), ()))] = pick(bad)
    return " ".join(words)


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = [chr(c) for c in range(97, 123)] + [f"##{chr(c)}" for c in range(97, 123)]
    vocabulary = {
        word: n for n, word in enumerate(dict.fromkeys([*special, *pieces, *NICE, *RUDE, *THREATS]))
    }
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", mask_token="[MASK]",
    )  # fmt: skip
