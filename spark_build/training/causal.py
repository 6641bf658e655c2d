"""What all recipes for causal language models do before and after the loop."""

from dataclasses import dataclass
from typing import Any, ClassVar

from spark_build.core.errors import BadInput
from spark_build.core.ports import Reporter
from spark_build.training.chat import give_chat_template
from spark_build.training.encoding import prepare
from spark_build.training.forms import Form
from spark_build.training.model_files import longest_input
from spark_build.training.token_rows import TokenRows


@dataclass(frozen=True)
class CausalText:
    """How rows become the tokens of a causal language model; travels with it as `spark_recipe.json`."""

    form: Form
    max_length: int
    packing: bool

    KIND: ClassVar[str] = "causal_lm"

    @classmethod
    def of(cls, rows: Any, params: Any) -> "CausalText":
        """Errors: BadInput where the fields don't say which form is meant, or packing does not suit it."""
        form = Form.find(
            rows.fields,
            kind=params.form,
            text=params.text,
            prompt=params.prompt,
            completion=params.completion,
            messages=params.messages,
        )
        if params.packing and form.kind != "text":
            raise BadInput(
                f"`packing` is for plain text, and the rows are read as {form.kind}: "
                "joined examples would see each other",
                fix="leave `packing` out (batches are grouped by length already)",
            )
        return cls(form, params.max_length, form.kind == "text" if params.packing is None else params.packing)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "CausalText":
        return cls(Form.from_json(data["form"]), data["max_length"], data["packing"])

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.KIND,
            "form": self.form.to_json(),
            "max_length": self.max_length,
            "packing": self.packing,
        }

    @classmethod
    def guess(cls, rows: Any, max_length: int) -> "CausalText":
        """By the dataset's fields alone: for a model that was not trained here."""
        form = Form.find(rows.fields)
        return cls(form, max_length, form.kind == "text")

    def encode(self, rows: Any, tokenizer: Any, report: Reporter) -> TokenRows:
        """The rows as examples; the tokenizer gets the form's chat template. Errors: BadInput where nothing counts."""
        give_chat_template(tokenizer, self.form)
        return prepare(
            rows, self.form, tokenizer, max_length=self.max_length, packing=self.packing, report=report
        )

    def check_length(self, config: Any) -> None:
        limit = longest_input(config)
        if limit is not None and self.max_length > limit:
            raise BadInput(
                f"max_length {self.max_length} is more than the model takes ({limit} tokens)",
                fix=f"max_length: {limit}",
            )
