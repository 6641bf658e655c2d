"""The words of the grammar, each with its meaning: read by the checks and by the JSON Schema alike."""

from __future__ import annotations

from collections.abc import Mapping

Keys = Mapping[str, str]

TOP: Keys = {
    "version": "Version of the Sparkfile's grammar: 1.",
    "project": "Name of the project.",
    "vars": "Scalars that ${vars.NAME} stands for.",
    "include": "Other Sparkfiles, by their paths: asr/Sparkfile.yaml gives asr/model:NAME.",
    "imports": "Other projects, by name: a folder, a URL, or {url, keys}; NAME/model:X@TAG is a result of theirs.",
    "store": "Where results are kept.",
    "environment": "What of the installation counts in a key, and what a stage may touch besides its inputs.",
    "limits": "When to ask before something is run.",
    "numerics": "What shapes floating-point results, for all rules of the project.",
    "datasets": "Datasets by name: where each comes from and what is done to it.",
    "gates": "Gates by name: what items have to pass.",
    "recipes": "Recipes by name: how models are trained.",
    "targets": "Models to build, by name: a recipe and its data.",
    "deployments": "Models to serve, by name.",
    "profiles": "Changes laid over this file by --profile NAME.",
}

STORE: Keys = {
    "local": "Folder of the local store; .spark by default.",
    "remote": "URL of the remote store, such as s3://bucket/prefix.",
    "endpoint": "URL of an S3 service other than Amazon's.",
    "scope": "Where in the remote store this checkout writes: trusted (the default), or a name under scopes/.",
    "keys": "Public keys whose signatures count in the remote store; as soon as one is listed, nothing else is taken.",
    "policy": "File that lists public keys with the scopes that each may sign for.",
}

IMPORT: Keys = {
    "url": "The other project: its folder, the store.remote that it publishes to, or a URL with lock and objects.",
    "keys": "Public keys of those who may publish there; as soon as one is listed, nothing else is pinned.",
    "scope": "Which scope of its remote store is read besides trusted: a name under scopes/.",
    "endpoint": "URL of an S3 service other than Amazon's.",
}

POLICY: Keys = {
    "version": "Version of the policy's grammar: 1.",
    "keys": "Public keys, each with the scopes that it may sign for.",
}

POLICY_KEY: Keys = {
    "key": "The public key: ed25519:…, as spark key show prints it.",
    "name": "Whose it is.",
    "scopes": "What it may sign for: trusted (and all else), scopes/NAME, scopes/*.",
}

ENVIRONMENT: Keys = {
    "libraries": "Library versions in keys: exact, compatible (major.minor, the default) or ignore.",
    "hermetic": "Reads of undeclared project files, and undeclared hosts: warn (the default), strict (refused) or off.",
}

LIMITS: Keys = {
    "ask_above": "Ask before a build that is estimated to take longer: 90s, 15m, 1h (the default), 2d.",
}

NUMERICS: Keys = {
    "device": "Where it computes: cpu (the default) or cuda.",
    "dtype": "Type of numbers: float32 (the default), bfloat16 or float16.",
    "threads": "Number of CPU threads.",
    "isa": "CPU instruction set that may be used: sse4, avx2 (the default), avx512 or default.",
    "world_size": "Number of processes that train together.",
}

RESOURCES: Keys = {
    "gpus": "Number of GPUs.",
    "cpus": "Number of CPU cores.",
    "memory": "Memory, such as 8GiB.",
}

DATASET: Keys = {
    "source": "Where the records come from: a path, or a source rule.",
    "fields": "Columns and their types.",
    "transforms": "Transforms, applied in this order.",
    "gates": "Gates that the items pass in this order: names of 'gates:', or rules.",
    "splits": "Shares of train, validation, test; or keep, for the source's own.",
    "require": 'What has to hold for the finished dataset, such as items: "> 100".',
    "version": "How the dataset is put together and tagged.",
    "card": "What stands on the dataset's card: license, description and so on.",
    "on_error": "What to do with an item that can't be read: reject (the default) or fail.",
    "push": "Which stages go to the remote store: last (the default), all or none.",
    "matrix": "Lists of values by name: one member for each combination; ${matrix.NAME} stands for its value.",
}

SPLITS: Keys = {
    "ratios": "Share of each split; they sum to 1.",
    "group": "Column whose equal values never straddle splits.",
    "balance": "Column whose values are spread evenly, approximately.",
    "at_least": "Fewest items of a split.",
    "keep": "Whether the source's own splits stay.",
}

USE: Keys = {
    "use": "Name of the rule, or ./file.py:Class for one of your own.",
    "with": "Parameters of the rule.",
    "numerics": "What shapes floating-point results, for this rule.",
    "resources": "What it needs to run; never part of a key.",
}

TRANSFORM: Keys = {**USE, "only": "Split that the transform is applied to."}

TARGET: Keys = {
    "recipe": "How it is trained: a name of 'recipes:', or a rule.",
    "dataset": "The dataset it is trained on.",
    "roles": "Datasets by role, where the recipe takes several.",
    "base": "What it starts from: a hub id, a folder or model:NAME.",
    "with": "Parameters over the recipe's.",
    "eval": "How it is measured, and what has to hold.",
    "package": "Exporters: names, or rules.",
    "numerics": "What shapes floating-point results, over the recipe's.",
    "resources": "What it needs to run, over the recipe's; never part of a key.",
    "matrix": "Lists of values by name: params of the recipe, or what stands as ${matrix.NAME}.",
}

EVALUATION: Keys = {
    "dataset": "The dataset it is measured on; the target's own by default.",
    "split": "The split it is measured on; test by default.",
    "metrics": "Metrics: names, or rules.",
    "require": 'What has to hold, such as perplexity: "< 20".',
}

DEPLOYMENT: Keys = {
    "model": "The target that is served, also as NAME@TAG.",
    **USE,
}

BOUNDS: Keys = {"min": "At least this.", "max": "At most this."}

FIELD_TYPES = ("text", "image", "audio", "video", "messages", "label", "number", "json")
STANDARD_SPLITS = ("train", "validation", "test")
DEVICES = ("cpu", "cuda")
DTYPES = ("float32", "bfloat16", "float16")
ISAS = ("sse4", "avx2", "avx512", "default")
LIBRARIES = ("exact", "compatible", "ignore")
HERMETIC = ("warn", "strict", "off")
ON_ERROR = ("reject", "fail")
PUSH = ("last", "all", "none")

NOUNS: Keys = {
    "vars": "var",
    "datasets": "dataset",
    "gates": "gate",
    "recipes": "recipe",
    "targets": "target",
    "deployments": "deployment",
    "profiles": "profile",
}
NAMED = ("vars", "datasets", "gates", "recipes", "targets", "deployments")
NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]*"
TRUSTED = "trusted"
SCOPE_PATTERN = rf"trusted|scopes/(\*|{NAME_PATTERN})"
# 32 bytes in base64, of which the last character holds four bits
PUBLIC_KEY_PATTERN = r"ed25519:[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]="
OWN_RULE_PATTERN = r"[^:\s]+\.py:[A-Za-z_][A-Za-z0-9_]*"
