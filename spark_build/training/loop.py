"""The training loop: transformers' Trainer, made to resume bit for bit from sealed checkpoints."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spark_build.core.errors import BadInput
from spark_build.core.numerics import Numerics
from spark_build.core.ports import Reporter
from spark_build.training import checkpoints
from spark_build.training.batches import EpochBatches

_CHECKPOINT_SECONDS = 60.0  # without `checkpoint_every`: at least this often …
_CHECKPOINT_SHARE = 0.1  # … and each tenth of the run …
_CHECKPOINT_COST = 0.03  # … but never more than this share of the time goes into checkpoints


@dataclass(frozen=True)
class FitSettings:
    """How to train; the names are those of the recipes' parameters."""

    epochs: float = 1.0
    max_steps: int | None = None
    batch_size: int = 16  # examples per step, whatever the device
    micro_batch_size: int | None = None
    learning_rate: float = 1e-4
    schedule: str = "cosine"
    warmup: float = 0.03  # below 1 a share of all steps, from 1 on a number of steps
    weight_decay: float = 0.0
    optimizer: str = "adamw_torch"
    grad_clip: float = 1.0
    seed: int = 0
    checkpoint_every: int | None = None  # steps
    log_every: int | None = None  # steps
    trainer: Mapping[str, Any] = field(default_factory=dict)  # further TrainingArguments


def fit(
    model: Any,
    examples: Any,
    collate: Callable[[list[Any]], dict[str, Any]],
    settings: FitSettings,
    *,
    numerics: Numerics,
    scratch: Path,
    report: Reporter,
    loss: Callable[..., Any] | None = None,
) -> Any:
    """The trained model. A call with the same arguments goes on from the newest sound checkpoint under `scratch`.

    `examples` has a length, `lengths` (tokens each) and examples by position. Weights are those of an
    uninterrupted run, byte for byte: model, optimizer, schedule and random state are restored and the data are
    taken up at the next batch.
    Errors: BadInput where transformers refuses the settings.
    """
    folder = scratch / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    batches = EpochBatches(
        examples.lengths,
        settings.batch_size,
        settings.micro_batch_size or settings.batch_size,
        settings.seed,
    )
    arguments = _training_arguments(settings, numerics, folder)
    total = _total_steps(settings, len(examples))
    start = _find_start(folder, total, report)
    use_cache = model.config.use_cache if hasattr(model.config, "use_cache") else None
    trainer = _make_trainer(model, examples, batches, collate, arguments, loss)
    tokens_per_step = settings.batch_size * sum(examples.lengths) / len(examples)
    trainer.add_callback(_make_watcher(settings, total, tokens_per_step, folder, report))
    if start is not None and start.step >= total:
        trainer._load_from_checkpoint(str(start.path))  # all steps are done: what came after was interrupted
    else:
        trainer.train(resume_from_checkpoint=str(start.path) if start else None)
    if use_cache is not None:
        model.config.use_cache = use_cache  # Trainer turns it off, and the result should generate quickly
    return model


def _find_start(folder: Path, total: int, report: Reporter) -> checkpoints.Checkpoint | None:
    start, dropped = checkpoints.newest(folder)
    for line in dropped:
        report.log(f"dropped checkpoint {line}")
    if start is not None:
        report.log(f"resumed at step {start.step} of {total} (checkpoint {start.path.name})")
        report.progress(start.step, total, "steps")
    return start


def _total_steps(settings: FitSettings, examples: int) -> int:
    steps_per_epoch = max(1, math.ceil(examples / settings.batch_size))
    return settings.max_steps or math.ceil(settings.epochs * steps_per_epoch)


def _training_arguments(settings: FitSettings, numerics: Numerics, folder: Path) -> Any:
    from transformers import TrainingArguments

    micro = settings.micro_batch_size or settings.batch_size
    try:
        return TrainingArguments(
            output_dir=str(folder / "writing"),
            per_device_train_batch_size=micro,
            gradient_accumulation_steps=settings.batch_size // micro,
            num_train_epochs=settings.epochs,
            max_steps=settings.max_steps or -1,
            learning_rate=settings.learning_rate,
            lr_scheduler_type=settings.schedule,
            warmup_steps=settings.warmup,
            weight_decay=settings.weight_decay,
            optim=settings.optimizer,
            max_grad_norm=settings.grad_clip,
            seed=settings.seed,
            use_cpu=numerics.device == "cpu",
            bf16=numerics.dtype == "bfloat16",
            fp16=numerics.dtype == "float16",
            save_strategy="no",  # the watcher decides
            logging_strategy="no",  # likewise
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
            log_level="warning",
            logging_nan_inf_filter=False,  # a loss that is no number has to be seen
            **{"dataloader_pin_memory": numerics.device == "cuda", **settings.trainer},
        )
    except (TypeError, ValueError, ImportError) as problem:
        raise BadInput(
            f"transformers refuses these training settings: {problem}", fix="see `trainer:` and `schedule:`"
        ) from problem


def _make_trainer(
    model: Any,
    examples: Any,
    batches: EpochBatches,
    collate: Callable[[list[Any]], dict[str, Any]],
    arguments: Any,
    loss: Callable[..., Any] | None,
) -> Any:
    from torch.utils.data import DataLoader
    from transformers import PrinterCallback, Trainer

    class SeededTrainer(Trainer):
        def get_train_dataloader(self) -> Any:
            loader: Any = DataLoader(
                examples,
                batch_sampler=batches,
                collate_fn=collate,
                num_workers=arguments.dataloader_num_workers,
                pin_memory=arguments.dataloader_pin_memory,
                persistent_workers=arguments.dataloader_persistent_workers,
                prefetch_factor=arguments.dataloader_prefetch_factor,
                multiprocessing_context=arguments.dataloader_multiprocessing_context,
            )
            return self.accelerator.prepare(loader)

    trainer = SeededTrainer(
        model=model, args=arguments, train_dataset=examples, data_collator=collate, compute_loss_func=loss
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _make_watcher(
    settings: FitSettings, total: int, tokens_per_step: float, folder: Path, report: Reporter
) -> Any:
    """A callback that reports each step, and decides when to log and when to seal a checkpoint.

    None of this touches weights or random state: a checkpoint more or less changes nothing.
    """
    from transformers import TrainerCallback

    log_every = settings.log_every or max(1, total // 100)
    checkpoint_every = settings.checkpoint_every
    tenth = max(1, round(total * _CHECKPOINT_SHARE))

    class Watcher(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.started = self.saved = time.monotonic()
            self.first_step = state.global_step
            self.save_seconds = 0.0

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            step = state.global_step
            report.progress(step, total, "steps")
            control.should_log = control.should_log or step % log_every == 0 or step == total
            control.should_save = step == total or self._is_due(step)
            if control.should_save:
                self.save_started = time.monotonic()

        def _is_due(self, step: int) -> bool:
            if checkpoint_every is not None:
                return step % checkpoint_every == 0
            waited = time.monotonic() - self.saved
            is_cheap = self.save_seconds <= _CHECKPOINT_COST * waited
            return is_cheap and (step % tenth == 0 or waited >= _CHECKPOINT_SECONDS)

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if "loss" not in (logs or {}):
                return
            step = state.global_step
            if not math.isfinite(logs["loss"]):
                raise BadInput(
                    f"the loss is {logs['loss']} at step {step}: training has diverged",
                    fix="lower `learning_rate`, lengthen `warmup`, or look for broken rows in the data",
                )
            for name in ("loss", "grad_norm", "learning_rate"):
                if name in logs:
                    report.metric(name, float(logs[name]), step)
            rate = (step - self.first_step) / max(1e-9, time.monotonic() - self.started)
            report.metric("tokens_per_second", rate * tokens_per_step, step)

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            written = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            (written / "training_args.bin").unlink(missing_ok=True)  # a pickle, and nothing reads it
            checkpoints.seal(written, folder, state.global_step)
            report.checkpoint(state.global_step)
            self.saved = time.monotonic()
            self.save_seconds = self.saved - self.save_started

    return Watcher()
