"""Every refusal of the grammar: its text, its line and column, and its fix."""

# ruff: noqa: E501 - a table: one line a case

from __future__ import annotations

import pytest

from sparkfile_schema import parse

HEAD = "version: 1\nproject: p\n"
BASE = "datasets: {d: {source: x, splits: {train: 0.9, test: 0.1}}}\nrecipes: {r: {use: u}}\n"

# name -> what stands behind HEAD, and its problems; line 3 is the first of them
REFUSALS: dict[str, tuple[str, list[str]]] = {
    "unknown key at the top": (
        "datset: {}",
        [
            "f:3:1: unknown key 'datset' in the Sparkfile"
            "\n  fix: did you mean 'datasets'?",
        ],
    ),
    "unknown key without a neighbour": (
        "zzz: 1",
        [
            "f:3:1: unknown key 'zzz' in the Sparkfile"
            "\n  fix: keys here: version, project, vars, include, imports, store, environment, limits, numerics, datasets, gates, recipes, targets, deployments, …",
        ],
    ),
    "an included file beside this one": (
        "include: [Other.yaml]",
        [
            "f:3:11: 'Other.yaml' can't be included"
            "\n  fix: an included Sparkfile stands in a folder below this one, as in asr/Sparkfile.yaml",
        ],
    ),
    "an included file above this one": (
        "include: [../asr/Sparkfile.yaml]",
        [
            "f:3:11: '../asr/Sparkfile.yaml' can't be included"
            "\n  fix: an included Sparkfile stands in a folder below this one, as in asr/Sparkfile.yaml",
        ],
    ),
    "a folder included twice": (
        "include: [asr/Sparkfile.yaml, asr/Other.yaml]",
        ["f:3:31: 'asr' is included twice\n  fix: one Sparkfile a folder"],
    ),
    "an import without a place": (
        "imports: {core: 7}",
        ["f:3:17: import 'core' has to be text, not the number 7\n  fix: quote it: \"7\""],
    ),
    "unknown key in a dataset": (
        "datasets: {a: {source: x, filters: []}}",
        [
            "f:3:27: unknown key 'filters' in dataset 'a'"
            "\n  fix: did you mean 'gates'?",
        ],
    ),
    "unknown key in a gate": (
        "gates:\n  near-dup: {use: pii, wiht: {}}",
        [
            "f:4:24: unknown key 'wiht' in gate 'near-dup'"
            "\n  fix: did you mean 'with'?",
        ],
    ),
    "param beside use": (
        "gates: {g: {use: pii, action: redact}}",
        [
            "f:3:23: unknown key 'action' in gate 'g'"
            "\n  fix: parameters of the rule stand under 'with:', as in with: {action: …}",
        ],
    ),
    "key in place of a missing one": (
        "gates: {g: {rule: pii}}",
        [
            "f:3:13: unknown key 'rule' in gate 'g'"
            "\n  fix: did you mean 'use'?",
        ],
    ),
    "unknown key in store": (
        "store: {endpont: x}",
        [
            "f:3:9: unknown key 'endpont' in 'store'"
            "\n  fix: did you mean 'endpoint'?",
        ],
    ),
    "unknown key in environment": (
        "environment: {library: exact}",
        [
            "f:3:15: unknown key 'library' in 'environment'"
            "\n  fix: keys here: libraries, hermetic",
        ],
    ),
    "unknown key in limits": (
        "limits: {ask_abov: 1h}",
        [
            "f:3:10: unknown key 'ask_abov' in 'limits'"
            "\n  fix: did you mean 'ask_above'?",
        ],
    ),
    "unknown key in numerics": (
        "numerics: {precision: float32}",
        [
            "f:3:12: unknown key 'precision' in 'numerics'"
            "\n  fix: did you mean 'dtype'?",
        ],
    ),
    "unknown key in resources": (
        BASE + "targets: {t: {recipe: r, dataset: d, resources: {gpu: 1}}}",
        [
            "f:5:50: unknown key 'gpu' in 'resources' of target 't'"
            "\n  fix: did you mean 'gpus'?",
        ],
    ),
    "unknown key in a target": (
        BASE + "targets: {t: {recipe: r, dataset: d, evaluate: {metrics: [m]}}}",
        [
            "f:5:38: unknown key 'evaluate' in target 't'"
            "\n  fix: did you mean 'eval'?",
        ],
    ),
    "unknown key in an evaluation": (
        BASE + "targets: {t: {recipe: r, dataset: d, eval: {metrics: [m], requires: {}}}}",
        [
            "f:5:59: unknown key 'requires' in 'eval' of target 't'"
            "\n  fix: did you mean 'require'?",
        ],
    ),
    "unknown key in a named evaluation": (
        BASE + "targets: {t: {recipe: r, dataset: d, eval: {clean: {metrics: [m], data: d}}}}",
        [
            "f:5:67: unknown key 'data' in evaluation 'clean' of target 't'"
            "\n  fix: did you mean 'dataset'?",
        ],
    ),
    "unknown key in a deployment": (
        BASE + "targets: {t: {recipe: r, dataset: d}}\ndeployments: {c: {model: t, use: s, port: 1}}",
        [
            "f:6:37: unknown key 'port' in deployment 'c'"
            "\n  fix: parameters of the rule stand under 'with:', as in with: {port: …}",
        ],
    ),
    "unknown key in bounds": (
        "datasets: {a: {source: x, require: {items: {minimum: 1}}}}",
        [
            "f:3:45: unknown key 'minimum' in the requirement 'items'"
            "\n  fix: did you mean 'min'?",
        ],
    ),
    "unknown key beside ratios": (
        "datasets: {a: {source: x, splits: {ratios: {train: 1}, groups: c}}}",
        [
            "f:3:56: unknown key 'groups' in 'splits' of dataset 'a'"
            "\n  fix: did you mean 'group'?",
        ],
    ),
    "duplicate key": (
        "gates:\n  g: {use: pii}\n  g: {use: pii}",
        [
            "f:5:3: duplicate key 'g', first on line 4"
            "\n  fix: keep one of the two",
        ],
    ),
    "missing source": (
        "datasets:\n  a:\n    gates: []",
        [
            "f:5:5: missing key 'source' in dataset 'a'"
            "\n  fix: add source: …",
        ],
    ),
    "missing source of an empty dataset": (
        "datasets:\n  a:",
        [
            "f:4:5: missing key 'source' in dataset 'a'"
            "\n  fix: add source: …",
        ],
    ),
    "missing use": (
        "gates: {g: {with: {}}}",
        [
            "f:3:12: missing key 'use' in gate 'g'"
            "\n  fix: add use: RULE",
        ],
    ),
    "missing recipe": (
        BASE + "targets: {t: {dataset: d}}",
        [
            "f:5:14: missing key 'recipe' in target 't'"
            "\n  fix: add recipe: …",
        ],
    ),
    "missing dataset of a target": (
        BASE + "targets: {t: {recipe: r}}",
        [
            "f:5:14: missing key 'dataset' in target 't'"
            "\n  fix: add dataset: NAME",
        ],
    ),
    "missing metrics": (
        BASE + "targets: {t: {recipe: r, dataset: d, eval: {require: {}}}}",
        [
            "f:5:44: missing key 'metrics' in 'eval' of target 't'"
            "\n  fix: add metrics: …",
        ],
    ),
    "missing model": (
        "deployments: {c: {use: s}}",
        [
            "f:3:18: missing key 'model' in deployment 'c'"
            "\n  fix: add model: TARGET",
        ],
    ),
    "section that is no mapping": (
        "gates: [a]",
        [
            "f:3:8: 'gates' has to be a mapping, not a list"
            "\n  fix: write keys and values, as in {key: value}",
        ],
    ),
    "dataset that is text": (
        "datasets: {a: data/x}",
        [
            "f:3:15: dataset 'a' has to be a mapping, not 'data/x'"
            "\n  fix: write {source: data/x}",
        ],
    ),
    "dataset that is a list": (
        "datasets: {a: [x]}",
        [
            "f:3:15: dataset 'a' has to be a mapping, not a list"
            "\n  fix: write keys and values, as in {key: value}",
        ],
    ),
    "source that is a list": (
        "datasets: {a: {source: [x, y]}}",
        [
            "f:3:24: the source of dataset 'a' can't be a list"
            "\n  fix: one source a dataset: a path, or {use: RULE, with: {…}}",
        ],
    ),
    "source that is a number": (
        "datasets: {a: {source: 5}}",
        [
            "f:3:24: the source of dataset 'a' has to be text, not the number 5"
            "\n  fix: quote it: \"5\"",
        ],
    ),
    "source that is empty": (
        "datasets: {a: {source: ''}}",
        [
            "f:3:24: the source of dataset 'a' is empty"
            "\n  fix: write its text, or remove the key",
        ],
    ),
    "source without use": (
        "datasets: {a: {source: {path: x}}}",
        [
            "f:3:24: missing key 'use' in the source of dataset 'a'"
            "\n  fix: add use: RULE",
            "f:3:25: unknown key 'path' in the source of dataset 'a'"
            "\n  fix: parameters of the rule stand under 'with:', as in with: {path: …}",
        ],
    ),
    "gate that is a bare rule": (
        "gates: {g: pii}",
        [
            "f:3:12: gate 'g' has to be a rule, not 'pii'"
            "\n  fix: write {use: pii}",
        ],
    ),
    "with that is text": (
        "gates: {g: {use: pii, with: x}}",
        [
            "f:3:29: 'with' of gate 'g' has to be a mapping, not 'x'"
            "\n  fix: such as with: {threshold: 0.9}",
        ],
    ),
    "use that is a number": (
        "gates: {g: {use: 5}}",
        [
            "f:3:18: 'use' has to be text, not the number 5"
            "\n  fix: quote it: \"5\"",
        ],
    ),
    "use with a space": (
        "gates: {g: {use: near duplicates}}",
        [
            "f:3:18: 'near duplicates' can't be the name of a rule"
            "\n  fix: use letters, digits, '.', '_' and '-'",
        ],
    ),
    "own rule without its class": (
        "gates: {g: {use: ./my_gate.py}}",
        [
            "f:3:18: './my_gate.py' can't be the name of a rule"
            "\n  fix: a rule of your own is ./my_gate.py:MyGate",
        ],
    ),
    "name with a space": (
        "gates: {my gate: {use: pii}}",
        [
            "f:3:9: 'my gate' can't be the name of a gate"
            "\n  fix: use letters, digits, '.', '_' and '-', beginning with a letter or digit, at most 200",
        ],
    ),
    "name with a slash": (
        "datasets: {a/b: {source: x}}",
        [
            "f:3:12: 'a/b' can't be the name of a dataset"
            "\n  fix: use letters, digits, '.', '_' and '-', beginning with a letter or digit, at most 200",
        ],
    ),
    "type of a field": (
        "datasets: {a: {source: x, fields: {q: string}}}",
        [
            "f:3:39: 'q' of 'fields' of dataset 'a' has to be text, image, audio, video, messages, label, number or json, not 'string'"
            "\n  fix: did you mean 'text'?",
        ],
    ),
    "transform that is a bare rule": (
        "datasets: {a: {source: x, transforms: [chunk]}}",
        [
            "f:3:40: transform 1 of dataset 'a' has to be a rule, not 'chunk'"
            "\n  fix: write {use: chunk}",
        ],
    ),
    "transforms that are no list": (
        "datasets: {a: {source: x, transforms: {use: chunk}}}",
        [
            "f:3:39: 'transforms' of dataset 'a' has to be a list, not a mapping"
            "\n  fix: such as [{use: chunk}]",
        ],
    ),
    "only with an unknown split": (
        "datasets: {a: {source: x, splits: {train: 1}, transforms: [{use: c, only: tain}]}}",
        [
            "f:3:75: dataset 'a' has no split 'tain'"
            "\n  fix: did you mean 'train'?",
        ],
    ),
    "gates that are no list": (
        "datasets: {a: {source: x, gates: pii}}",
        [
            "f:3:34: 'gates' of dataset 'a' has to be a list, not 'pii'"
            "\n  fix: such as [near-dup, {use: pii}]",
        ],
    ),
    "gate listed twice": (
        "gates: {g: {use: pii}}\ndatasets: {a: {source: x, gates: [g, g]}}",
        [
            "f:4:38: gate 'g' is listed twice"
            "\n  fix: remove one of the two",
        ],
    ),
    "version that is a number": (
        "datasets: {a: {source: x, version: 1.10}}",
        [
            "f:3:36: the version of dataset 'a' has to be a rule, not the number 1.10"
            "\n  fix: write {use: snapshot, with: {tag: \"1.10\"}}",
        ],
    ),
    "version that is a bare rule": (
        "datasets: {a: {source: x, version: snapshot}}",
        [
            "f:3:36: the version of dataset 'a' has to be a rule, not 'snapshot'"
            "\n  fix: write {use: snapshot}",
        ],
    ),
    "licence that is a number": (
        "datasets: {a: {source: x, card: {license: 4.0}}}",
        [
            "f:3:43: 'license' of the card has to be text, not the number 4.0"
            "\n  fix: quote it: \"4.0\"",
        ],
    ),
    "on_error": (
        "datasets: {a: {source: x, on_error: rejct}}",
        [
            "f:3:37: 'on_error' of dataset 'a' has to be reject or fail, not 'rejct'"
            "\n  fix: did you mean 'reject'?",
        ],
    ),
    "push": (
        "datasets: {a: {source: x, push: yes}}",
        [
            "f:3:33: 'push' of dataset 'a' has to be last, all or none, not 'yes'"
            "\n  fix: write last, all or none",
        ],
    ),
    "libraries": (
        "environment: {libraries: strict}",
        [
            "f:3:26: 'libraries' of 'environment' has to be exact, compatible or ignore, not 'strict'"
            "\n  fix: write exact, compatible or ignore",
        ],
    ),
    "duration without a unit": (
        "limits: {ask_above: 90}",
        [
            "f:3:21: 'ask_above' of 'limits' has to be a time such as 90s, 15m, 1h or 2d, not the number 90"
            "\n  fix: write 90s for seconds",
        ],
    ),
    "duration with an unknown unit": (
        "limits: {ask_above: 1w}",
        [
            "f:3:21: 'ask_above' of 'limits' has to be a time such as 90s, 15m, 1h or 2d, not '1w'"
            "\n  fix: write a number and one of s, m, h, d",
        ],
    ),
    "threads": (
        "numerics: {threads: 0}",
        [
            "f:3:21: 'threads' of 'numerics' has to be a whole number from 1, not the number 0"
            "\n  fix: write 1 or more",
        ],
    ),
    "device": (
        "numerics: {device: gpu}",
        [
            "f:3:20: 'device' of 'numerics' has to be cpu or cuda, not 'gpu'"
            "\n  fix: did you mean 'cuda'?",
        ],
    ),
    "dtype that is a number": (
        "numerics: {dtype: 32}",
        [
            "f:3:19: 'dtype' of 'numerics' has to be float32, bfloat16 or float16, not the number 32"
            "\n  fix: write float32, bfloat16 or float16",
        ],
    ),
    "gpus": (
        "recipes: {r: {use: u, resources: {gpus: -1}}}",
        [
            "f:3:41: 'gpus' of 'resources' of recipe 'r' has to be a whole number from 0, not the number -1"
            "\n  fix: write 0 or more",
        ],
    ),
    "memory": (
        "recipes: {r: {use: u, resources: {memory: 8}}}",
        [
            "f:3:43: 'memory' of 'resources' of recipe 'r' has to be a size such as 512MiB or 8GiB, not the number 8"
            "\n  fix: write a number and its unit",
        ],
    ),
    "metrics that are a name": (
        BASE + "targets: {t: {recipe: r, dataset: d, eval: {metrics: loss}}}",
        [
            "f:5:54: 'metrics' of 'eval' of target 't' has to be a list, not 'loss'"
            "\n  fix: write [loss]",
        ],
    ),
    "no metrics": (
        BASE + "targets: {t: {recipe: r, dataset: d, eval: {metrics: []}}}",
        [
            "f:5:54: 'metrics' of 'eval' of target 't' lists nothing"
            "\n  fix: name a metric, or remove the key",
        ],
    ),
    "exporter listed twice": (
        BASE + "targets: {t: {recipe: r, dataset: d, package: [onnx, onnx]}}",
        [
            "f:5:54: exporter 'onnx' is listed twice"
            "\n  fix: remove one of the two",
        ],
    ),
    "dataset and roles": (
        BASE + "targets: {t: {recipe: r, dataset: d, roles: {train: d}}}",
        [
            "f:5:38: 'dataset' and 'roles' both stand in target 't'"
            "\n  fix: keep one of the two",
        ],
    ),
    "base that is a number": (
        BASE + "targets: {t: {recipe: r, dataset: d, base: 7}}",
        [
            "f:5:44: 'base' of target 't' has to be text, not the number 7"
            "\n  fix: quote it: \"7\"",
        ],
    ),
    "var that is a list": (
        "vars: {a: [1]}",
        [
            "f:3:11: var 'a' has to be text, a number, true or false, not a list"
            "\n  fix: write one of these",
        ],
    ),
    "var that is empty": (
        "vars: {a: }",
        [
            "f:3:10: var 'a' has to be text, a number, true or false, not empty"
            "\n  fix: write one of these",
        ],
    ),
    "number with separators": (
        "datasets: {a: {source: x, splits: {train: 1, at_least: {train: 1_000}}}}",
        [
            "f:3:64: the fewest items of split 'train' has to be a whole number from 1, not '1_000'"
            "\n  fix: write 1000, without quotes",
        ],
    ),
    "boolean in the way of yaml 1.1": (
        "datasets: {a: {source: x, splits: {keep: yes}}}",
        [
            "f:3:42: 'keep' of 'splits' of dataset 'a' has to be true or false, not 'yes'"
            "\n  fix: write true; YAML 1.2 reads yes as text",
        ],
    ),
    "splits that don't sum to 1": (
        "datasets: {a: {source: x, splits: {train: 0.9, test: 0.2}}}",
        [
            "f:3:35: the shares of the splits sum to 1.1, not to 1"
            "\n  fix: make them sum to 1",
        ],
    ),
    "splits in percent": (
        "datasets: {a: {source: x, splits: {train: 90, test: 10}}}",
        [
            "f:3:35: the shares of the splits sum to 100, not to 1"
            "\n  fix: write fractions, 0.9 for 90",
        ],
    ),
    "split without a share": (
        "datasets: {a: {source: x, splits: {train: 1, test: 0}}}",
        [
            "f:3:52: the share of split 'test' has to be above 0"
            "\n  fix: remove it, or give it a share",
        ],
    ),
    "split with a negative share": (
        "datasets: {a: {source: x, splits: {train: 1.5, test: -0.5}}}",
        [
            "f:3:54: the share of split 'test' has to be above 0"
            "\n  fix: remove it, or give it a share",
        ],
    ),
    "split called dev": (
        "datasets: {a: {source: x, splits: {train: 0.9, dev: 0.1}}}",
        [
            "f:3:48: unknown split 'dev'"
            "\n  fix: did you mean 'validation'?",
        ],
    ),
    "split with a typo": (
        "datasets: {a: {source: x, splits: {trian: 0.9, test: 0.1}}}",
        [
            "f:3:36: unknown split 'trian'"
            "\n  fix: did you mean 'train'?",
        ],
    ),
    "share in quotes": (
        "datasets: {a: {source: x, splits: {train: \"0.9\", test: 0.1}}}",
        [
            "f:3:43: the share of split 'train' has to be a number, not '0.9'"
            "\n  fix: write 0.9, without quotes",
        ],
    ),
    "share with a percent sign": (
        "datasets: {a: {source: x, splits: {train: 90%, test: 0.1}}}",
        [
            "f:3:43: the share of split 'train' has to be a number, not '90%'"
            "\n  fix: write 0.9",
        ],
    ),
    "no split": (
        "datasets: {a: {source: x, splits: {}}}",
        [
            "f:3:35: 'splits' of dataset 'a' names no split"
            "\n  fix: such as {train: 0.9, test: 0.1}",
        ],
    ),
    "splits that are a number": (
        "datasets: {a: {source: x, splits: 0.9}}",
        [
            "f:3:35: 'splits' of dataset 'a' has to be keep or a mapping of shares, not the number 0.9"
            "\n  fix: write keep, or shares such as {train: 0.9, test: 0.1}",
        ],
    ),
    "splits kept with a typo": (
        "datasets: {a: {source: x, splits: kep}}",
        [
            "f:3:35: 'splits' of dataset 'a' has to be keep or a mapping of shares, not 'kep'"
            "\n  fix: write keep, or shares such as {train: 0.9, test: 0.1}",
        ],
    ),
    "group where splits are kept": (
        "datasets: {a: {source: x, splits: {keep: true, group: c}}}",
        [
            "f:3:48: 'group' says nothing where the source's own splits are kept"
            "\n  fix: remove it, or remove keep",
        ],
    ),
    "at_least of an unknown split": (
        "datasets: {a: {source: x, splits: {train: 1, at_least: {test: 5}}}}",
        [
            "f:3:57: dataset 'a' has no split 'test'"
            "\n  fix: splits here: train",
        ],
    ),
    "bare figure": (
        "datasets: {a: {source: x, require: {items: 100}}}",
        [
            "f:3:44: the requirement 'items' has to be a bound such as \"> 0.9\", \"<= 40%\" or {min: 0.9}, not the number 100"
            "\n  fix: say which side is meant: \">= 100\" or \"<= 100\"",
        ],
    ),
    "sign the wrong way round": (
        "datasets: {a: {source: x, require: {items: \"=> 100\"}}}",
        [
            "f:3:44: the requirement 'items' has to be a bound such as \"> 0.9\", \"<= 40%\" or {min: 0.9}, not '=> 100'"
            "\n  fix: write \">= 100\"",
        ],
    ),
    "no bound at all": (
        "datasets: {a: {source: x, require: {items: many}}}",
        [
            "f:3:44: the requirement 'items' has to be a bound such as \"> 0.9\", \"<= 40%\" or {min: 0.9}, not 'many'"
            "\n  fix: write a sign and a number",
        ],
    ),
    "equals": (
        "datasets: {a: {source: x, require: {items: \"== 5\"}}}",
        [
            "f:3:44: the requirement 'items' has to be a bound such as \"> 0.9\", \"<= 40%\" or {min: 0.9}, not '== 5'"
            "\n  fix: say which side is meant: \">= 5\" or \"<= 5\"",
        ],
    ),
    "unknown figure of a dataset": (
        "datasets: {a: {source: x, require: {itms: \"> 1\"}}}",
        [
            "f:3:37: a dataset has no figure 'itms'"
            "\n  fix: did you mean 'items'?",
        ],
    ),
    "figure of an unknown split": (
        "datasets: {a: {source: x, splits: {train: 1}, require: {items.test: \"> 1\"}}}",
        [
            "f:3:57: dataset 'a' has no split 'test'"
            "\n  fix: splits here: train",
        ],
    ),
    "rejected above 1": (
        "datasets: {a: {source: x, require: {rejected: \"< 40\"}}}",
        [
            "f:3:47: 'rejected' is a share of the items, from 0 to 1"
            "\n  fix: write a percentage or a fraction, such as \"< 40%\" or \"< 0.4\"",
        ],
    ),
    "min above max": (
        "datasets: {a: {source: x, require: {items: {min: 5, max: 3}}}}",
        [
            "f:3:44: the requirement 'items' can't hold: min is above max"
            "\n  fix: swap them",
        ],
    ),
    "empty bounds": (
        "datasets: {a: {source: x, require: {items: {}}}}",
        [
            "f:3:44: the requirement 'items' bounds nothing"
            "\n  fix: add min: or max:",
        ],
    ),
    "unknown gate": (
        "gates: {near-dup: {use: nd}}\ndatasets: {a: {source: x, gates: [neardup]}}",
        [
            "f:4:35: no gate 'neardup' in 'gates:'"
            "\n  fix: did you mean 'near-dup'?",
        ],
    ),
    "rule in place of a gate": (
        "datasets: {a: {source: x, gates: [pii]}}",
        [
            "f:3:35: no gate 'pii' in 'gates:'"
            "\n  fix: for a rule write {use: pii}",
        ],
    ),
    "unknown recipe": (
        BASE + "targets: {t: {recipe: sft, dataset: d}}",
        [
            "f:5:23: no recipe 'sft' in 'recipes:'"
            "\n  fix: for a rule write {use: sft}",
        ],
    ),
    "unknown dataset": (
        "datasets: {tickets: {source: x}}\nrecipes: {r: {use: u}}\ntargets: {t: {recipe: r, dataset: tikets}}",
        [
            "f:5:35: no dataset 'tikets' in 'datasets:'"
            "\n  fix: did you mean 'tickets'?",
        ],
    ),
    "unknown dataset of a role": (
        BASE + "targets: {t: {recipe: r, roles: {train: e}}}",
        [
            "f:5:41: no dataset 'e' in 'datasets:'"
            "\n  fix: datasets here: d",
        ],
    ),
    "model in place of a dataset": (
        BASE + "targets: {t: {recipe: r, dataset: model:t}}",
        [
            "f:5:35: 'dataset' of target 't' has to be a dataset, not 'model:t'"
            "\n  fix: datasets here: d",
        ],
    ),
    "unknown dataset of an evaluation": (
        BASE + "targets: {t: {recipe: r, dataset: d, eval: {metrics: [m], dataset: e}}}",
        [
            "f:5:68: no dataset 'e' in 'datasets:'"
            "\n  fix: datasets here: d",
        ],
    ),
    "unknown split of an evaluation": (
        BASE + "targets: {t: {recipe: r, dataset: d, eval: {metrics: [m], split: dev}}}",
        [
            "f:5:66: dataset 'd' has no split 'dev'"
            "\n  fix: splits here: train, test",
        ],
    ),
    "no test split": (
        "datasets: {d: {source: x, splits: {train: 1}}}\nrecipes: {r: {use: u}}\ntargets: {t: {recipe: r, dataset: d, eval: {metrics: [m]}}}",
        [
            "f:5:44: dataset 'd' has no split 'test'"
            "\n  fix: splits here: train",
        ],
    ),
    "unknown base": (
        BASE + "targets: {llama: {recipe: r, dataset: d, base: 'model:lama'}}",
        [
            "f:5:48: no target 'lama' in 'targets:'"
            "\n  fix: did you mean 'llama'?",
        ],
    ),
    "unknown model of a deployment": (
        BASE + "targets: {llama: {recipe: r, dataset: d}}\ndeployments: {c: {model: lama, use: s}}",
        [
            "f:6:26: no target 'lama' in 'targets:'"
            "\n  fix: did you mean 'llama'?",
        ],
    ),
    "dataset in place of a model": (
        "datasets: {d: {source: x}}\ndeployments: {c: {model: dataset:d, use: s}}",
        [
            "f:4:26: the model of deployment 'c' has to be a target, not 'dataset:d'"
            "\n  fix: there are no targets yet",
        ],
    ),
    "cycle": (
        BASE + "targets:\n  a: {recipe: r, dataset: d, base: 'model:b'}\n  b: {recipe: r, dataset: d, base: 'model:a'}\n  c: {recipe: r, dataset: d, base: 'model:a'}",
        [
            "f:7:36: 'b' is built on itself: b -> a -> b"
            "\n  fix: let one of them start from something else",
        ],
    ),
    "model based on itself": (
        BASE + "targets: {a: {recipe: r, dataset: d, base: 'model:a'}}",
        [
            "f:5:44: 'a' is built on itself: a -> a"
            "\n  fix: let one of them start from something else",
        ],
    ),
    "unset variable": (
        "datasets: {a: {source: '${env.NOPE}/x'}}",
        [
            "f:3:24: the environment variable NOPE is not set"
            "\n  fix: set it: export NOPE=…",
        ],
    ),
    "default for a variable": (
        "datasets: {a: {source: '${env.NOPE:-x}'}}",
        [
            "f:3:24: 'NOPE:-x' is no name of an environment variable"
            "\n  fix: write ${env.NAME}; a default is not supported",
        ],
    ),
    "unknown var": (
        "vars: {base: x}\ndatasets: {a: {source: '${vars.bse}'}}",
        [
            "f:4:24: no var 'bse'"
            "\n  fix: did you mean ${vars.base}?",
        ],
    ),
    "var of a var": (
        "vars: {a: x, b: '${vars.a}'}",
        [
            "f:3:17: a var can't be made of other vars"
            "\n  fix: write the text out",
        ],
    ),
    "secret outside of with": (
        "datasets: {a: {source: '${secret.S}'}}",
        [
            "f:3:24: the source of dataset 'a' can't hold a secret"
            "\n  fix: a secret stands only under 'with:'",
        ],
    ),
    "secret in a var": (
        "vars: {a: '${secret.S}'}",
        [
            "f:3:11: var 'a' can't hold a secret"
            "\n  fix: a secret stands only under 'with:'",
        ],
    ),
    "secret in a card": (
        "datasets: {a: {source: x, card: {token: '${secret.S}'}}}",
        [
            "f:3:41: a card can't hold a secret"
            "\n  fix: a secret stands only under 'with:'",
        ],
    ),
    "profile that is no mapping": (
        "profiles: {q: 5}",
        [
            "f:3:15: profile 'q' has to be a mapping, not the number 5"
            "\n  fix: write keys and values, as in {key: value}",
        ],
    ),
    "profile with an unknown key": (
        "profiles: {q: {recips: {}}}",
        [
            "f:3:16: unknown key 'recips' in profile 'q'"
            "\n  fix: did you mean 'recipes'?",
        ],
    ),
    "profile that changes the project": (
        "profiles: {q: {project: x}}",
        [
            "f:3:16: a profile can't change 'project'"
            "\n  fix: remove it from profile 'q'",
        ],
    ),
    "profile that adds a recipe": (
        "recipes: {sft: {use: u}}\nprofiles: {q: {recipes: {stf: {with: {a: 1}}}}}",
        [
            "f:4:26: profile 'q' changes recipe 'stf', which is not there"
            "\n  fix: did you mean 'sft'?",
        ],
    ),
    "profile with a bad value": (
        "limits: {ask_above: 1h}\nprofiles: {q: {limits: {ask_above: 5}}}",
        [
            "f:4:36: 'ask_above' of 'limits' has to be a time such as 90s, 15m, 1h or 2d, not the number 5"
            "\n  fix: write 5s for seconds",
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_a_mistake_is_told_where_it_stands_with_a_fix(name: str) -> None:
    body, expected = REFUSALS[name]
    assert [str(problem) for problem in parse(HEAD + body + "\n", file="f", env={}).problems] == expected


@pytest.mark.parametrize("name", REFUSALS)
def test_every_problem_has_a_fix(name: str) -> None:
    body, _ = REFUSALS[name]
    assert all(problem.fix for problem in parse(HEAD + body + "\n", env={}).problems)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["f:1:1: the file is empty\n  fix: begin with version: 1, or let spark init write one"]),
        ("# only a comment\n", ["f:1:1: the file is empty\n  fix: begin with version: 1, or let spark init write one"]),
        ("- a", ["f:1:1: a Sparkfile is a mapping\n  fix: begin with version: 1"]),
        ("text", ["f:1:1: a Sparkfile is a mapping\n  fix: begin with version: 1"]),
        ("version:1", ["f:1:1: 'version:1' is no mapping\n  fix: put a space after the colon"]),
        ("\n\nproject: p", ["f:1:1: missing key 'version' in the Sparkfile\n  fix: add version: …"]),
        ("version: 1", ["f:1:1: missing key 'project' in the Sparkfile\n  fix: add project: …"]),
        ("version: 2\nproject: p", ["f:1:10: 'version' has to be 1, not the number 2\n  fix: this is grammar 1"]),
        ('version: "1"\nproject: p', ["f:1:10: 'version' has to be 1, not '1'\n  fix: write version: 1"]),
        ("version: true\nproject: p", ["f:1:10: 'version' has to be 1, not true\n  fix: this is grammar 1"]),
        ("version: 1\nproject: 1.10", ['f:2:10: \'project\' has to be text, not the number 1.10\n  fix: quote it: "1.10"']),
        ("version: 1\nproject: a b", ["f:2:10: 'a b' can't be the name of a project\n  fix: use letters, digits, '.', '_' and '-', beginning with a letter or digit, at most 200"]),
    ],
)  # fmt: skip
def test_a_file_that_is_no_sparkfile_is_told_so(text: str, expected: list[str]) -> None:
    assert [str(problem) for problem in parse(text, file="f", env={}).problems] == expected


def test_all_problems_come_at_once_in_the_order_of_the_file() -> None:
    body = "gates: {g: {ues: pii}}\ndatasets:\n  a: {source: x, gates: [h], push: al}\n  a: {source: y}\nlimits: {ask_above: 5}"
    problems = parse(HEAD + body, env={}).problems
    assert [(p.at.line, p.at.column) for p in problems] == [(3, 13), (5, 26), (5, 36), (6, 3), (7, 21)]


def test_what_could_be_read_is_there_for_a_second_pass() -> None:
    body = "gates: {g: {use: pii, with: {action: redact, x: '${env.NOPE}'}}, h: 5}\ndatasets: {a: {transforms: [{use: chunk}]}}"
    parsed = parse(HEAD + body, env={})
    assert [(family, use.rule) for family, use in parsed.sparkfile.uses] == [
        ("gate", "pii"),
        ("transform", "chunk"),
    ]
    gate = parsed.sparkfile.gates["g"]
    assert (gate.params["action"], gate.unreadable) == ("redact", {("x",)})


def test_known_numerics_are_those_of_the_core() -> None:
    from spark_build.core import numerics
    from sparkfile_schema import keys

    assert (keys.DEVICES, keys.DTYPES, keys.ISAS) == (numerics.DEVICES, numerics.DTYPES, numerics.ISAS)
