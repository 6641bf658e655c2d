"""What a model says about a picture: BLIP, BLIP-2, InternVL, Qwen2-VL, Florence-2, through one interface."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.core.errors import BadInput
from spark_build.core.values import Struct
from spark_build.modalities.model_folder import check_folder, first_line, load_model, load_processor

if TYPE_CHECKING:
    from PIL import Image

_WHAT = "model that says what it sees"
_LAYOUT = "config.json, preprocessor_config.json, tokenizer.json and model.safetensors"
_ASKED = "Describe this image in one sentence."  # of models that chat
_TASKS = {"florence2": "<CAPTION>"}  # what others are asked; nothing, where they go on from nothing
_GOES_ON = ("blip",)  # the prompt is the beginning of what they say


class Captioner(Struct, frozen=True):
    """One picture at a time, and always the likeliest token."""

    model: Any
    processor: Any
    prompt: str | None  # as it is given to the processor

    def caption(self, image: "Image.Image", max_tokens: int, beams: int) -> str:
        """Errors: BadInput where the prompt is none for this model."""
        import torch

        asked = {} if self.prompt is None else {"text": [self.prompt]}
        try:
            inputs = self.processor(images=[image], return_tensors="pt", **asked)
        except ValueError as error:
            fix = "leave out the prompt, or take one that the model was trained on"
            raise BadInput(f"the prompt is refused: {first_line(error)}", fix=fix) from error
        inputs = inputs.to(self.model.device, self.model.dtype)
        with torch.inference_mode():
            (said,) = self.model.generate(
                **inputs, max_new_tokens=max_tokens, num_beams=beams, do_sample=False
            )
        text: str = self.processor.tokenizer.decode(
            self._answer(said, inputs), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text.strip()

    def _answer(self, said: Any, inputs: Any) -> Any:
        """Without the question, which some models repeat."""
        asked = inputs.get("input_ids")
        if asked is None or self.model.config.model_type in _GOES_ON:
            return said
        length = asked.shape[1]
        is_repeated = len(said) >= length and bool((said[:length] == asked[0]).all())
        return said[length:] if is_repeated else said


def load_captioner(folder: Path, prompt: str | None, device: str, dtype: str) -> Captioner:
    """Errors: BadInput where the folder holds no such model, Unavailable (device, libraries)."""
    model_type = check_folder(folder, _WHAT, _LAYOUT)
    model = load_model(folder, "AutoModelForImageTextToText", _WHAT, _LAYOUT, device=device, dtype=dtype)
    processor = load_processor(folder, model_type)
    if getattr(processor, "chat_template", None) is None:
        return Captioner(model, processor, prompt or _TASKS.get(model_type))
    content = [{"type": "image"}, {"type": "text", "text": prompt or _ASKED}]
    turns = [{"role": "user", "content": content}]
    return Captioner(model, processor, processor.apply_chat_template(turns, add_generation_prompt=True))
