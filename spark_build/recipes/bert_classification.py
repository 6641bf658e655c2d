"""Trains a text classifier: BERT (or another encoder) from a configuration, or from a base with a fresh head."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from spark_build.contract import Base, Context, Recipe
from spark_build.recipes._params import LIBRARIES, FitParams, check_start
from spark_build.training.classes import ClassRows, ClassText


class TokenizerParams(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["wordpiece", "bpe"] = Field(
        "wordpiece", description="BERT's uncased WordPiece, or bytes as in GPT-2"
    )
    vocab_size: int = Field(8192, ge=258, description="tokens at most, the special ones among them")


class Params(FitParams):
    base: Base | None = Field(None, description="encoder to start from: a hub id, a folder, or model:NAME")
    config: dict[str, Any] | None = Field(
        None,
        description="model to make anew: {model_type: bert, hidden_size: 256, …}, as transformers names it",
    )
    tokenizer: TokenizerParams | None = Field(
        None, description="tokenizer to train on the train split, for a model made anew"
    )
    text: str | None = Field(None, description="field of the text; by default the only one")
    label: str | None = Field(
        None, description="field of the class, a name or a number; by default the only label"
    )
    max_length: int = Field(256, gt=2, description="tokens that are read of a text")
    freeze_encoder: bool = Field(False, description="train the head alone")
    class_weights: Literal["balanced"] | dict[str, float] | None = Field(
        None, description="what a class's rows count: balanced (rare ones more), or a weight by label"
    )

    synonyms: ClassVar[Mapping[str, str]] = {
        **FitParams.synonyms,
        "text_field": "text",
        "text_column": "text",
        "label_field": "label",
        "label_column": "label",
        "labels": "label",
        "freeze": "freeze_encoder",
        "freeze_base": "freeze_encoder",
        "class_weight": "class_weights",
        "model": "base",
        "base_model": "base",
        "model_name_or_path": "base",
    }

    @model_validator(mode="after")
    def _starts_somewhere(self) -> Self:
        check_start(self.base, self.config, self.tokenizer)
        return self


class BertClassification(Recipe):
    Params = Params
    revision = 1
    libraries: ClassVar[tuple[str, ...]] = LIBRARIES

    def train(self, context: Context) -> None:
        from spark_build.training.loop import fit
        from spark_build.training.model_files import save_model
        from spark_build.training.seeds import pin_numerics, seed_everything

        params = self.params
        rows = context.dataset.rows("train")
        text = ClassText.of(rows, params.text, params.label, params.max_length)
        pin_numerics(context.numerics, params.seed)
        tokenizer, model, dtype = self._start(context, rows, text)
        examples = text.encode(rows, tokenizer)
        _announce(context, text, examples)
        if params.freeze_encoder:
            model.base_model.requires_grad_(False)
        seed_everything(params.seed)
        fit(
            model,
            examples,
            text.collate(tokenizer),
            params.settings(),
            numerics=context.numerics,
            scratch=context.scratch,
            report=context.report,
            loss=text.loss(examples, params.class_weights, params.trainer.get("label_smoothing_factor", 0.0)),
        )
        save_model(model, tokenizer, context.output / "model", recipe=text.to_json(), dtype=dtype)

    def _start(self, context: Context, rows: Any, text: ClassText) -> tuple[Any, Any, str]:
        """Tokenizer, model in float32, and the type in which the result is kept."""
        from transformers import AutoModelForSequenceClassification

        from spark_build.training import from_config, model_files
        from spark_build.training.tokenizers_from_text import train_tokenizer

        names = dict(enumerate(text.labels))
        labels: dict[str, Any] = {"id2label": names, "label2id": {name: i for i, name in names.items()}}
        if self.params.base is not None:
            folder = context.inputs["base"]
            model = model_files.load_classifier(folder, num_labels=len(names), **labels)
            return model_files.load_tokenizer(folder), model, model_files.dtype_of(folder)
        wanted = self.params.tokenizer or TokenizerParams()
        texts = (row[text.text] for row in rows if row[text.text])
        tokenizer = train_tokenizer(wanted.kind, texts, wanted.vocab_size)
        config = from_config.make_config(self.params.config, tokenizer, text.max_length, **labels)
        tokenizer.model_max_length = config.max_position_embeddings
        return tokenizer, from_config.make_model(AutoModelForSequenceClassification, config), "float32"


def _announce(context: Context, text: ClassText, examples: ClassRows) -> None:
    counts = Counter(text.labels[i] for i in examples.classes)
    context.report.note("supervised_labels", len(examples))
    context.report.note("rows_left_out", {"without text or label": examples.left_out})
    shares = ", ".join(f"{name} {n}" for name, n in counts.most_common(20))
    context.report.log(
        f"{len(examples):,} rows of {len(counts)} classes ({shares}); {examples.left_out} left out"
    )
