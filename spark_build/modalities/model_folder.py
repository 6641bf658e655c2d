"""Models in local folders, and what prepares their input: loaded alike by every rule that asks one.

Nothing is fetched, no code of a model's own runs, no pickle is opened. Images are prepared by Pillow and numpy, also
where torchvision is installed: the two give other pixels.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spark_build.core.errors import BadInput, Unavailable

WEIGHTS = "config.json and model.safetensors"


def load_model(
    folder: Path, auto: str, what: str, holds: str = WEIGHTS, *, device: str = "cpu", dtype: str = "float32"
) -> Any:
    """The model for `auto`, a class of transformers, ready to be asked; `what` names its kind in errors.

    Errors: BadInput where the folder holds something else, Unavailable where a library or the device is missing.
    """
    model_type = check_folder(folder, what, holds)
    import torch
    import transformers

    if device == "cuda" and not torch.cuda.is_available():
        raise Unavailable("`device: cuda`, and this machine shows none", fix="numerics: {device: cpu}")
    _check_kind(folder, getattr(transformers, auto), model_type, what)
    try:
        model, loading = getattr(transformers, auto).from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            dtype=dtype,
        )
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise BadInput(f"'{folder.name}' can't be loaded: {first_line(error)}", fix=_fix(holds)) from error
    if missing := sorted(loading["missing_keys"]):
        raise BadInput(
            f"'{folder.name}' is no {what}: it lacks {', '.join(missing[:3])}",
            fix=f"name a model that was trained as {what}",
        )
    return model.to(device).eval()


def check_folder(folder: Path, what: str, holds: str) -> str:
    """The type of the model in it, by its config.json. Errors: as `load_model`."""
    check_libraries(what)
    if not (folder / "config.json").is_file():
        raise BadInput(f"'{folder.name}' holds no {what}", fix=_fix(holds))
    if not any(folder.glob("*.safetensors")):
        raise BadInput(f"'{folder.name}' holds no weights in safetensors", fix=_fix(holds))
    try:
        return str(json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type"))
    except (ValueError, AttributeError) as error:
        raise BadInput(f"config.json of '{folder.name}' can't be read", fix=_fix(holds)) from error


def check_libraries(what: str) -> None:
    """Errors: Unavailable."""
    try:
        import torch  # noqa: F401
        import transformers
    except ImportError as error:
        raise Unavailable(f"a {what} needs {error.name}", fix="pip install 'spark-build[train]'") from error
    logging: Any = transformers.logging
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def load_tokenizer(folder: Path) -> Any:
    """Errors: BadInput."""
    from transformers import AutoTokenizer

    return _prepared(AutoTokenizer, folder, "tokenizer")


def load_image_processor(folder: Path) -> Any:
    """Errors: BadInput."""
    from transformers import AutoImageProcessor

    return _prepared(AutoImageProcessor, folder, "image processor (preprocessor_config.json)", backend="pil")


def load_feature_extractor(folder: Path) -> Any:
    """Errors: BadInput."""
    from transformers import AutoFeatureExtractor

    return _prepared(AutoFeatureExtractor, folder, "feature extractor (preprocessor_config.json)")


def load_processor(folder: Path, model_type: str) -> Any:
    """Of a model that reads images and text: its parts, without the one for videos, which wants torchvision.

    Errors: BadInput.
    """
    cls: Any = _without_videos(_processor_class(folder, model_type))
    parts: dict[str, Callable[[Path], Any]] = {
        "image_processor": load_image_processor,
        "tokenizer": load_tokenizer,
        "video_processor": lambda _: None,
    }
    wanted = cls.get_attributes()
    if unknown := sorted(set(wanted) - set(parts)):
        raise BadInput(
            f"'{folder.name}' ({model_type}) needs a {unknown[0]}, which is not known here",
            fix="name a model that reads images and text alone",
        )
    try:
        stated, more = cls.get_processor_dict(folder, local_files_only=True)
        return cls.from_args_and_dict([parts[name](folder) for name in wanted], stated, **more)
    except (OSError, ValueError, TypeError, AttributeError, ImportError) as error:
        raise BadInput(
            f"the processor of '{folder.name}' can't be made: {first_line(error)}", fix=_FILES
        ) from error


_FILES = "name a folder with all files that transformers saves: model, processor and tokenizer"


def _processor_class(folder: Path, model_type: str) -> Any:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    config = CONFIG_MAPPING[model_type]
    if config not in PROCESSOR_MAPPING:
        raise BadInput(f"'{folder.name}' ({model_type}) has no processor of images and text", fix=_FILES)
    return PROCESSOR_MAPPING[config]


def _without_videos(cls: Any) -> Any:
    class Images(cls):  # type: ignore[misc]
        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
            return (
                None if argument is None else super().check_argument_for_proper_class(argument_name, argument)
            )

    Images.__name__ = cls.__name__  # errors of transformers show it
    return Images


def _prepared(auto: Any, folder: Path, what: str, **more: Any) -> Any:
    try:
        return auto.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **more)
    except ImportError as error:
        fix = "pip install 'spark-build[train,media]', and what else it names"
        raise Unavailable(
            f"the {what} of '{folder.name}' needs more: {first_line(error)}", fix=fix
        ) from error
    except (OSError, ValueError) as error:
        raise BadInput(f"'{folder.name}' has no {what}: {first_line(error)}", fix=_FILES) from error


def _check_kind(folder: Path, auto: Any, model_type: str, what: str) -> None:
    """Some classes of a wrong kind would load, with weights at random in place of what is missing."""
    known = {config.model_type for config in auto._model_mapping}
    if model_type not in known:
        raise BadInput(
            f"'{folder.name}' is no {what}: its type is {model_type}",
            fix=f"name a model that was trained as {what}",
        )


def _fix(holds: str) -> str:
    return f"name a folder with {holds}"


def first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
