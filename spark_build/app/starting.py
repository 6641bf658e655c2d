"""A first Sparkfile, and the JSON Schema that an editor reads."""

import json
from pathlib import Path

from spark_build.core.errors import UsageError
from spark_build.pinning import LOCK_NAME

MERGE_DRIVER = "spark lock merge %O %A %B"
SCHEMA_PLACE = ".spark/sparkfile.schema.json"
FIRST_SPARKFILE = """\
# yaml-language-server: $schema=.spark/sparkfile.schema.json
version: 1
project: {project}

datasets:
  notes:
    source: data/notes          # Markdown, text, HTML, JSONL, CSV, Parquet
    gates: [near-dup, quality]
    splits: {{train: 0.9, test: 0.1}}
    require: {{items: "> 1"}}
    card: {{license: cc-by-4.0, description: What this dataset is}}

gates:
  near-dup: {{use: near_duplicates, with: {{threshold: 0.9}}}}
  quality:  {{use: quality}}

# A model on top of it; `spark schema` and the docs list every recipe with its params.
# recipes:
#   small: {{use: causal_lm, with: {{config: {{model_type: llama, hidden_size: 128, num_hidden_layers: 2}}}}}}
# targets:
#   writer: {{recipe: small, dataset: notes, eval: {{metrics: [perplexity]}}, package: [safetensors]}}
"""


def start_project(folder: Path, file: str) -> list[str]:
    """What was written. Errors: UsageError where there is a Sparkfile already; nothing is overwritten."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is no folder", fix="-C names the folder to begin in")
    sparkfile = folder / file
    if sparkfile.exists():
        raise UsageError(f"{file} is there already", fix="edit it, or name another with -f")
    folder.mkdir(parents=True, exist_ok=True)
    project = "".join(c if c.isalnum() or c in "._-" else "-" for c in folder.resolve().name) or "project"
    sparkfile.write_text(FIRST_SPARKFILE.format(project=project.lstrip("._-") or "project"))
    schema = folder / SCHEMA_PLACE
    schema.parent.mkdir(exist_ok=True)
    schema.write_text(schema_text())
    written = [file, SCHEMA_PLACE]
    if _ignore_store(folder):
        written.append(".gitignore")
    if not (folder / "data" / "notes").exists():
        (folder / "data" / "notes").mkdir(parents=True)
        written.append("data/notes/ (put your documents here)")
    return written


def set_up_merging(folder: Path) -> list[str]:
    """Tells git how to merge the lock: an attribute, which is committed, and a driver, which each clone has.

    Errors: UsageError outside of a git repository.
    """
    done = [_write_attribute(folder)]
    for name, value in (("name", "Sparkfile.lock, block by block"), ("driver", MERGE_DRIVER)):
        if not _git_config(folder, f"merge.spark-lock.{name}", value):
            raise UsageError(f"{folder.resolve()} lies in no git repository", fix="git init")
    return [*done, f"git config merge.spark-lock.driver '{MERGE_DRIVER}' (in this clone)"]


def _write_attribute(folder: Path) -> str:
    file, line = folder / ".gitattributes", f"{LOCK_NAME} merge=spark-lock"
    text = file.read_text() if file.exists() else ""
    if line in text.splitlines():
        return f".gitattributes says so already: {line}"
    file.write_text(f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{line}\n")
    return f"wrote .gitattributes (commit it): {line}"


def _git_config(folder: Path, name: str, value: str) -> bool:
    import subprocess

    try:
        done = subprocess.run(["git", "config", name, value], cwd=folder, capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


def schema_text() -> str:
    from spark_build.rulebook import schemas
    from sparkfile_schema import json_schema

    return json.dumps(json_schema(schemas()), indent=2, ensure_ascii=False) + "\n"


def _ignore_store(folder: Path) -> bool:
    ignored = folder / ".gitignore"
    text = ignored.read_text() if ignored.exists() else ""
    if ".spark/" in text.split():
        return False
    ignored.write_text(f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}.spark/\n")
    return True
