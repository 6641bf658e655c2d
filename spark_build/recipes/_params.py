"""Parameters that all recipes of this folder share."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from spark_build.contract import RuleParams, Unkeyed
from spark_build.training import trainer_fields
from spark_build.training.loop import FitSettings

Schedule = Literal[
    "cosine", "linear", "constant", "constant_with_warmup", "polynomial", "inverse_sqrt",
    "cosine_with_restarts", "cosine_with_min_lr", "warmup_stable_decay",
]  # fmt: skip


LIBRARIES = ("torch", "transformers", "accelerate", "tokenizers", "safetensors")


class FitParams(RuleParams):
    """How to train: shared by every recipe that runs a training loop."""

    epochs: float = Field(1.0, gt=0, description="passes over the data; may be a fraction")
    max_steps: int | None = Field(
        None, gt=0, description="stop after this many steps, whatever `epochs` says"
    )
    batch_size: int = Field(
        16, gt=0, description="examples per step over all devices; results don't follow the device"
    )
    micro_batch_size: int | None = Field(
        None, gt=0, description="examples per pass where a batch is too large for memory; divides batch_size"
    )
    learning_rate: float = Field(2e-4, gt=0, description="highest learning rate")
    schedule: Schedule = Field("cosine", description="how the learning rate falls after warmup")
    warmup: float = Field(0.03, ge=0, description="below 1 a share of all steps, from 1 on a number of steps")
    weight_decay: float = Field(0.0, ge=0, description="AdamW's; not on biases and norms")
    optimizer: str = Field("adamw_torch", description="an optimizer of transformers' TrainingArguments.optim")
    grad_clip: float = Field(1.0, ge=0, description="highest norm of the gradient; 0 turns clipping off")
    seed: int = Field(0, ge=0, lt=2**32, description="seed of weights, dropout and order of the data")
    max_length: int = Field(512, gt=1, description="tokens of an example, or of a packed block")
    checkpoint_every: Unkeyed[int | None] = Field(
        None,
        gt=0,
        description="steps between checkpoints; by default each tenth of the run, at least once a minute",
    )
    log_every: Unkeyed[int | None] = Field(
        None, gt=0, description="steps between reports of the loss; by default a hundredth"
    )
    trainer: dict[str, Any] = Field(
        default_factory=dict, description="further fields of transformers' TrainingArguments, passed through"
    )

    synonyms: ClassVar[Mapping[str, str]] = {
        "lr": "learning_rate",
        "num_epochs": "epochs",
        "num_train_epochs": "epochs",
        "per_device_train_batch_size": "batch_size",
        "train_batch_size": "batch_size",
        "batch": "batch_size",
        "gradient_accumulation_steps": "micro_batch_size",
        "lr_scheduler_type": "schedule",
        "lr_scheduler": "schedule",
        "warmup_ratio": "warmup",
        "warmup_steps": "warmup",
        "optim": "optimizer",
        "max_grad_norm": "grad_clip",
        "gradient_clipping": "grad_clip",
        "max_seq_length": "max_length",
        "max_seq_len": "max_length",
        "block_size": "max_length",
        "seq_len": "max_length",
        "save_steps": "checkpoint_every",
        "logging_steps": "log_every",
        "training_args": "trainer",
    }

    @field_validator("trainer")
    @classmethod
    def _passes_through(cls, value: dict[str, Any]) -> dict[str, Any]:
        trainer_fields.check(value)
        return value

    @field_validator("optimizer")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value != "adamw_torch":  # the default is there in every transformers: no need to look
            trainer_fields.check_optimizer(value)
        return value

    @model_validator(mode="after")
    def _batch_is_made_of_micro_batches(self) -> Self:
        if self.micro_batch_size and self.batch_size % self.micro_batch_size:
            raise ValueError(
                f"micro_batch_size {self.micro_batch_size} does not divide batch_size {self.batch_size}"
            )
        return self

    def settings(self) -> FitSettings:
        return FitSettings(**{field.name: getattr(self, field.name) for field in fields(FitSettings)})


class CausalParams(FitParams):
    """What recipes for causal language models share: how rows become text."""

    form: Literal["auto", "text", "prompt_completion", "messages"] = Field(
        "auto", description="how a row is read; `auto` looks at the dataset's fields"
    )
    text: str | None = Field(None, description="field of plain text")
    prompt: str | None = Field(
        None, description="field, or template such as 'Question: {question}\\nAnswer:'; not learned"
    )
    completion: str | None = Field(
        None, description="field, or template such as ' {answer}'; what is learned"
    )
    messages: str | None = Field(
        None, description="field of chat messages; what the assistant says is learned"
    )
    packing: bool | None = Field(
        None, description="join documents into full blocks; by default for plain text, and only there"
    )

    synonyms: ClassVar[Mapping[str, str]] = {
        **FitParams.synonyms,
        "dataset_text_field": "text",
        "text_field": "text",
        "text_column": "text",
        "question": "prompt",
        "answer": "completion",
        "response": "completion",
        "chat": "messages",
    }

    @field_validator("prompt", "completion")
    @classmethod
    def _is_template(cls, value: str | None) -> str | None:
        from spark_build.training.forms import names_in

        names_in(value or "")
        return value


def check_start(base: str | None, config: object | None, tokenizer: object | None) -> None:
    """Errors: ValueError where a model would start from nothing, or from two things."""
    if (base is None) == (config is None):
        raise ValueError("give either `base` (a model to start from) or `config` (a model to make anew)")
    if base is not None and tokenizer is not None:
        raise ValueError("`tokenizer` goes with `config`: a base brings its own")
