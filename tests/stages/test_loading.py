from pathlib import Path

import pytest
from stage_bench import Bench, step

from spark_build.contract import ItemGate, Source
from spark_build.core.errors import BadInput, SparkError, Unavailable, UsageError
from spark_build.core.job import JobStep
from spark_build.stages import load_rule_file
from spark_build.stages.contexts import step_context, step_inputs
from spark_build.stages.hub import fetch
from spark_build.stages.loading import load, load_blind

OWN_GATE = """
from helper_of_mine import LIMIT
from spark_build.contract import ItemGate, RuleParams, Verdict

class Mine(ItemGate):
    class Params(RuleParams):
        extra: int = 0

    def measure(self, item):
        return len(item["text"])

    def decide(self, found, params):
        return Verdict.keep() if found <= LIMIT + params.extra else Verdict.drop("mine")
"""


def own(file: Path, name: str = "Mine", **params: object) -> JobStep:
    return JobStep("mine.py:Mine", f"{file}:{name}", params, "d" * 64, label="mine")


def test_a_rule_of_the_users_own_runs_and_may_import_from_the_project(bench: Bench) -> None:
    bench.write("helper_of_mine.py", "LIMIT = 3")
    file = bench.write("rules/mine.py", OWN_GATE)
    bench.write("data/a.txt", "abc")
    bench.write("data/b.txt", "abcdef")
    ran = bench.filter(bench.ingest(), own(file))
    assert [row["text"] for row in ran.rows()] == ["abc"]
    assert not list(file.parent.glob("__pycache__"))


def test_an_edited_rule_file_is_loaded_anew(tmp_path: Path) -> None:
    file = tmp_path / "rule.py"
    file.write_text("A = 1")
    first = load_rule_file(file, tmp_path)
    assert load_rule_file(file, tmp_path) is first
    file.write_text("A = 2")
    assert load_rule_file(file, tmp_path).A == 2


def refusal(bench: Bench, made: JobStep, family: type = ItemGate) -> SparkError:
    with pytest.raises(SparkError) as caught:
        load(bench.job("filter", [made]), made, family)
    return caught.value


def test_a_rule_file_that_is_not_there_is_refused(bench: Bench) -> None:
    assert "mine.py: there is no such file" in refusal(bench, own(bench.project / "mine.py")).message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\ndef f(:\n", "mine.py:2: SyntaxError: invalid syntax"),
        ("x = 1\n\nraise ValueError('no')\n", "mine.py:3: ValueError: no"),
        (
            "import not_installed_at_all\n",
            "mine.py:1: ModuleNotFoundError: No module named 'not_installed_at_all'",
        ),
    ],
)
def test_a_rule_file_that_can_not_be_imported_is_refused_at_its_line(
    bench: Bench, text: str, said: str
) -> None:
    assert refusal(bench, own(bench.write("mine.py", text))).message == said


def test_a_class_that_is_not_there_is_refused(bench: Bench) -> None:
    error = refusal(bench, own(bench.write("mine.py", "x = 1"), "Yours"))
    assert error.message == "'mine' (mine.py:Mine): mine.py has no class 'Yours'"


def test_a_class_of_another_family_is_refused(bench: Bench) -> None:
    error = refusal(bench, step("Lines"))
    assert error.message == "'Lines': 'Lines' in stage_rules is no ItemGate"
    assert error.fix == "derive it from spark_build.contract.ItemGate"


def test_params_that_the_rule_does_not_know_are_refused(bench: Bench) -> None:
    error = refusal(bench, step("Long", {"mots": 3}))
    assert isinstance(error, UsageError)
    assert "mots" in error.message


def test_a_library_that_is_not_installed_is_named(bench: Bench) -> None:
    error = refusal(bench, JobStep("x", "no_such_package.x:X", {}, ""))
    assert isinstance(error, Unavailable)
    assert "needs 'no_such_package'" in error.message


def test_params_for_measure_hide_what_decides_and_show_the_rest(bench: Bench) -> None:
    made = step("Long", {"unit": "words", "most": 3})
    gate, params = load_blind(bench.job("filter", [made]), made, ItemGate)
    assert (gate.params.unit, gate.params.fields, params.most) == ("words", None, 3)
    with pytest.raises(AttributeError, match="'most' only decides; measure can't read it"):
        _ = gate.params.most


def test_a_secret_is_filled_in_from_the_environment(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_OF_MINE", "hush")
    bench.write("data/a.txt", "x")
    made = step("Guarded", {"token": "${secret.KEY_OF_MINE}"})
    assert bench.filter(bench.ingest(), made).outcome.metrics["items"] == 1
    monkeypatch.delenv("KEY_OF_MINE")
    with pytest.raises(Unavailable, match="the secret 'KEY_OF_MINE' is not set"):
        bench.filter(bench.ingest(), made)


def test_a_step_sees_its_own_inputs_beside_those_of_the_stage(bench: Bench, tmp_path: Path) -> None:
    steps = [step("Lines", inputs={"path": "/first"}), step("Upper", inputs={"vocabulary": "/second"})]
    job = bench.job("ingest", steps, {"dataset": "/whole"}, manifest={"inputs": {"dataset": "d"}})
    from stage_bench import Heard

    from spark_build.contract.context import Context

    context = Context({"dataset": Path("/whole")}, tmp_path, tmp_path, Heard())
    assert step_context(context, job, steps[1]).inputs == {
        "dataset": Path("/whole"),
        "vocabulary": Path("/second"),
    }
    assert step_inputs(job, steps[0]) == {"path": Path("/first")}


def test_an_unknown_kind_of_stage_is_refused(bench: Bench) -> None:
    with pytest.raises(UsageError, match="no runner for a stage of kind 'dream'"):
        bench.run("dream", [])


def test_a_hub_model_that_is_not_here_says_so_without_a_connection(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(Unavailable, match=r"'some-org/some-model' at abcdef012345 is not on this machine"):
        fetch("some-org/some-model@abcdef0123456789abcdef0123456789abcdef01")


def test_a_hub_model_in_the_cache_is_taken_and_one_without_safetensors_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub.constants as constants

    revision = "ab" * 20
    snapshot = tmp_path / "models--org--name" / "snapshots" / revision
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(BadInput, match="has no safetensors"):
        fetch(f"org/name@{revision}")
    (snapshot / "model.safetensors").write_bytes(b"")
    assert fetch(f"org/name@{revision}") == snapshot


def test_hub_inputs_reach_the_step_that_names_them(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import spark_build.stages.hub as hub

    monkeypatch.setattr(hub, "fetch", lambda pinned: tmp_path / pinned)
    steps = [step("Lines"), step("Long")]
    job = bench.job("filter", steps, hub={"base": "org/a@1", "1.model": "org/b@2"})
    assert step_inputs(job, steps[0]) == {}
    assert step_inputs(job, steps[1]) == {"model": tmp_path / "org/b@2"}
    from stage_bench import Heard

    from spark_build.stages.contexts import base_context

    context = base_context(job, Heard())
    assert context.inputs == {"base": tmp_path / "org/a@1"}


def test_rules_are_found_by_module_and_class(bench: Bench) -> None:
    made = step("Lines", inputs={"path": str(bench.project)})
    assert isinstance(load(bench.job("ingest", [made]), made, Source), Source)
