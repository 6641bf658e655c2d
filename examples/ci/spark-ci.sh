#!/bin/sh
# The checks of a change, on any CI: is the Sparkfile good, does the lock fit, do the results come out as locked?
#
#   spark-ci.sh [FOLDER]    the Sparkfile's folder (default: here)
#
# SPARK         the command (default: spark)
# SPARK_BUILD   no: stop after the lock; nothing then needs data or a store (default: yes)
# SPARK_VERIFY  targets that are built again from nothing and compared (default: none)
#
# Ends with the exit code of the first step that fails: 1 a stage failed, 2 the Sparkfile is wrong, 3 the lock is stale,
# 4 another result came out, or a requirement was not met.
set -eu

folder=${1:-.}
spark=${SPARK:-spark}

# "$spark" may be several words: `python3 -m spark_build`
step() {
    printf '== spark %s\n' "$*"
    # shellcheck disable=SC2086
    $spark -C "$folder" "$@"
}

format=text
if [ "${GITHUB_ACTIONS:-}" = true ]; then
    format=github
fi

step check
step plan --locked --check --format "$format"
if [ "${SPARK_BUILD:-yes}" != no ]; then
    step build --locked
fi
for target in ${SPARK_VERIFY:-}; do
    step verify "$target"
done
