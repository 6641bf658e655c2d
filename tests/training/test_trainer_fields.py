"""`trainer:` — what passes through to TrainingArguments, and what can't."""

import subprocess
import sys

import pytest

from spark_build.training import trainer_fields


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"label_smoothing": 0.1}, "has no 'label_smoothing'; did you mean 'label_smoothing_factor'?"),
        ({"zzz": 1}, "has no 'zzz'"),
        ({"learning_rate": 1e-3}, "write `learning_rate` one level up"),
        ({"num_train_epochs": 3}, "write `epochs` one level up"),
        ({"per_device_train_batch_size": 3}, "write `batch_size` one level up"),
        ({"output_dir": "x"}, "'output_dir' can't be set: training writes into its own folder"),
        ({"push_to_hub": True}, "reports to this build alone"),
        ({"bf16": True}, "`numerics:` declares it"),
        ({"eval_strategy": "steps"}, "a stage of its own"),
        ({"auto_find_batch_size": True}, "would follow from the machine's memory"),
        ({"label_smoothing_factor": "much"}, "'label_smoothing_factor' takes float, not 'much'"),
        ({"torch_compile": 1}, "'torch_compile' takes bool, not 1"),
        ({"dataloader_num_workers": True}, "'dataloader_num_workers' takes int, not True"),
    ],
)
def test_what_can_not_pass_is_refused_with_the_way_out(extra: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        trainer_fields.check(extra)
    assert message in str(refused.value)


def test_what_transformers_knows_passes() -> None:
    trainer_fields.check(
        {
            "label_smoothing_factor": 0.1,
            "adam_beta2": 1,
            "neftune_noise_alpha": None,
            "lr_scheduler_kwargs": {"num_cycles": 2},
            "gradient_checkpointing": True,
        }
    )


def test_an_optimizer_is_one_of_transformers() -> None:
    trainer_fields.check_optimizer("adafactor")
    with pytest.raises(ValueError, match="no optimizer 'adamw_torhc'; did you mean 'adamw_torch'"):
        trainer_fields.check_optimizer("adamw_torhc")


def test_every_name_that_is_refused_is_a_field_of_transformers() -> None:
    known = trainer_fields._annotations()
    assert known is not None
    assert {*trainer_fields.OWN_NAMES, *trainer_fields.REFUSED} <= set(known)


def test_the_check_imports_neither_torch_nor_transformers() -> None:
    code = (
        "import sys; from spark_build.recipes.causal_lm import CausalLm;"
        "CausalLm.Params(base='x', trainer={'label_smoothing_factor': 0.1}, optimizer='adafactor');"
        "print(sorted({'torch', 'transformers', 'numpy', 'pyarrow'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=".")
    assert found.stdout.strip() == "[]"
