"""Tiny models that say what they see, each of its real architecture: random weights, or a BLIP trained on digits."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pictures import digits
from tiny_vision import SIDE, digit_labels, image_processor, pixels

NAMES = ("zero", "one", "two", "three")  # of the digits that it is shown
_TEXT = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
_SEES = {**_TEXT, "image_size": 32, "patch_size": 8}
_CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for c in m.content %}{% if c.type == 'image' %}IMAGE"
    "{% else %}{{ c.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def caption_of(label: int) -> str:
    return f"the digit {NAMES[label]}"


def shown_digits() -> list[int]:
    """Numbers of scikit-learn's images that show one of NAMES."""
    return [number for number, label in enumerate(digit_labels()) if label < len(NAMES)]


def train_blip(folder: Path, taught: Sequence[int], steps: int = 200) -> None:
    """Learns what these digits are called."""
    import torch

    torch.set_num_threads(1)  # two wait for each other on a busy machine
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "digit", *NAMES]
    model = blip(folder, _word_tokenizer(words), side=SIDE, patch=2).train()
    images = pixels([digits()[number] for number in taught])
    tokens = torch.tensor([[2, 4, 5, 6 + digit_labels()[number], 3] for number in taught])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    draw = np.random.default_rng(0)
    for _ in range(steps):
        batch = torch.from_numpy(draw.integers(0, len(taught), 32))
        model(pixel_values=images[batch], input_ids=tokens[batch], labels=tokens[batch]).loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    model.eval().save_pretrained(folder)


def blip(folder: Path, tokenizer: Any = None, side: int = 32, patch: int = 8) -> Any:
    from transformers import BlipConfig, BlipForConditionalGeneration, BlipProcessor

    tokenizer = tokenizer or _byte_tokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]"], bos="[CLS]", eos="[SEP]")
    text = {
        **_TEXT, "vocab_size": len(tokenizer), "encoder_hidden_size": 32, "max_position_embeddings": 64,
        "bos_token_id": 2, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0, "initializer_range": 0.2,
    }  # fmt: skip
    vision = {**_SEES, "image_size": side, "patch_size": patch, "initializer_range": 0.2}  # else all but zero
    config = BlipConfig(text_config=text, vision_config=vision, initializer_range=0.2)
    model = _random(BlipForConditionalGeneration, config)
    BlipProcessor(image_processor(side), tokenizer).save_pretrained(folder)
    model.save_pretrained(folder)
    return model


def blip_2(folder: Path) -> None:
    from transformers import Blip2Config, Blip2ForConditionalGeneration, Blip2Processor

    tokenizer = _byte_tokenizer(["<pad>", "<s>", "</s>", "<image>"], bos="<s>", eos="</s>")
    size = len(tokenizer)
    config = Blip2Config(
        vision_config=_SEES,
        qformer_config={**_TEXT, "vocab_size": size, "encoder_hidden_size": 32, "cross_attention_frequency": 1},
        text_config={
            "model_type": "opt", "vocab_size": size, "hidden_size": 32, "word_embed_proj_dim": 32, "ffn_dim": 64,
            "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 128, "pad_token_id": 0,
            "bos_token_id": 1, "eos_token_id": 2,
        },
        num_query_tokens=4, image_token_index=3,
    )  # fmt: skip
    _random(Blip2ForConditionalGeneration, config).save_pretrained(folder)
    Blip2Processor(image_processor(32), tokenizer, num_query_tokens=4).save_pretrained(folder)


def qwen2_vl(folder: Path) -> None:
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration, Qwen2VLImageProcessorPil

    marks = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"]
    tokenizer = _byte_tokenizer([*marks, "<|image_pad|>", "<|video_pad|>"], bos=marks[0], eos=marks[2])
    config = Qwen2VLConfig(
        text_config={
            **_TEXT, "vocab_size": len(tokenizer), "num_key_value_heads": 2, "max_position_embeddings": 512,
            "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]}, "bos_token_id": 0, "eos_token_id": 2,
        },
        vision_config={
            "depth": 1, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2, "patch_size": 4,
            "spatial_merge_size": 2, "temporal_patch_size": 2,
        },
        image_token_id=5, video_token_id=6, vision_start_token_id=3, vision_end_token_id=4,
    )  # fmt: skip
    _random(Qwen2VLForConditionalGeneration, config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    sizes = {"size": {"shortest_edge": 64, "longest_edge": 1024}, "patch_size": 4, "merge_size": 2}
    Qwen2VLImageProcessorPil(**sizes, temporal_patch_size=2).save_pretrained(folder)
    _chats(folder, "<|vision_start|><|image_pad|><|vision_end|>")


def internvl(folder: Path) -> None:
    from transformers import GotOcr2ImageProcessorPil, InternVLConfig, InternVLForConditionalGeneration

    marks = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>", "<video>"]
    named = dict(zip(("start_image", "end_image", "context_image", "video"), marks[3:], strict=True))
    tokenizer = _byte_tokenizer(
        marks, bos=marks[0], eos=marks[2], extra={f"{name}_token": mark for name, mark in named.items()}
    )
    config = InternVLConfig(
        text_config={
            **_TEXT, "model_type": "qwen2", "vocab_size": len(tokenizer), "num_key_value_heads": 2,
            "max_position_embeddings": 512, "bos_token_id": 0, "eos_token_id": 2,
        },
        vision_config={**_SEES, "image_size": [32, 32], "patch_size": [8, 8]},
        image_token_id=5, image_seq_length=4, downsample_ratio=0.5,
    )  # fmt: skip
    _random(InternVLForConditionalGeneration, config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    GotOcr2ImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    stated = {"processor_class": "InternVLProcessor", "image_seq_length": 4}
    (folder / "processor_config.json").write_text(json.dumps(stated))
    _chats(folder, "<IMG_CONTEXT>\n")


def florence_2(folder: Path) -> None:
    from transformers import CLIPImageProcessorPil, Florence2Config, Florence2ForConditionalGeneration

    marks = ["<s>", "<pad>", "</s>", "<unk>", "<image>"]
    tokenizer = _byte_tokenizer(marks, bos="<s>", eos="</s>", pad="<pad>", extra={"image_token": "<image>"})
    config = Florence2Config(
        text_config={
            "model_type": "bart", "vocab_size": len(tokenizer), "d_model": 32, "encoder_layers": 1,
            "decoder_layers": 1, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "encoder_attention_heads": 2,
            "decoder_attention_heads": 2, "max_position_embeddings": 128, "pad_token_id": 1, "bos_token_id": 0,
            "eos_token_id": 2, "decoder_start_token_id": 2,
        },
        vision_config={
            "depths": [1, 1], "patch_size": [7, 3], "patch_stride": [4, 2], "patch_padding": [3, 1],
            "patch_prenorm": [False, True], "embed_dim": [16, 32], "num_heads": [2, 2], "num_groups": [2, 2],
            "window_size": 4, "projection_dim": 32, "max_temporal_embeddings": 4, "max_position_embeddings": 50,
        },
        image_token_id=4,
    )  # fmt: skip
    _random(Florence2ForConditionalGeneration, config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    processor = CLIPImageProcessorPil(size={"height": 32, "width": 32}, do_center_crop=False)
    processor.image_seq_length = 17
    processor.save_pretrained(folder)


ARCHITECTURES: dict[str, Callable[[Path], Any]] = {
    "BLIP": blip, "BLIP-2": blip_2, "InternVL": internvl, "Qwen2-VL": qwen2_vl, "Florence-2": florence_2,
}  # fmt: skip


def _random(cls: Any, config: Any) -> Any:
    import torch

    torch.manual_seed(0)
    return cls(config)


def _chats(folder: Path, image: str) -> None:
    (folder / "chat_template.jinja").write_text(_CHAT.replace("IMAGE", image))


def _byte_tokenizer(
    special: Sequence[str], *, bos: str, eos: str, pad: str | None = None, extra: dict[str, str] | None = None
) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE({word: n for n, word in enumerate(words)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(special))
    more = {"extra_special_tokens": extra} if extra else {}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=bos, eos_token=eos, pad_token=pad or special[0], **more
    )


def _word_tokenizer(words: Sequence[str]) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        bos_token="[CLS]", eos_token="[SEP]",
    )  # fmt: skip
