"""A model folder's own tokenizer, from this disk alone."""

from pathlib import Path
from typing import Any

from spark_build.core.errors import BadInput


def load_tokenizer(folder: Path) -> Any:
    """Errors: BadInput where the folder holds none that can be read.

    transformers 5.23 makes an empty tokenizer, with special tokens alone, where the files are missing.
    """
    from transformers import AutoTokenizer

    fix = "let the recipe save its tokenizer into model/ as well (tokenizer.save_pretrained)"
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"the model's tokenizer can't be read: {reason}", fix=fix) from error
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        raise BadInput("the model has no tokenizer beside its weights", fix=fix)
    return tokenizer
