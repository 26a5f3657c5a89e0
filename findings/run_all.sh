#!/usr/bin/env bash
# Runs the findings that are named, or all, one after the other, and prints a line for each: its name, `unchanged`,
# `CHANGED` or `NOT INSTALLED`, its seconds, and what it saw. Ends with 1 if one of them is not unchanged.
# In version: each finding states its own.
set -u
cd "$(dirname "$0")" || exit 2
failed=0
for script in "${@:-*.sh}"; do
  for file in $script; do
    file=$(basename "$file" .sh).sh
    [ "$file" = run_all.sh ] && continue
    started=$SECONDS
    output=$(bash "$file" 2>&1)
    case $? in
      0) word=unchanged ;;
      2) word="NOT INSTALLED" failed=1 ;;
      *) word=CHANGED failed=1 ;;
    esac
    seen=$(grep -m 1 '^saw: ' <<<"$output" || tail -n 1 <<<"$output")
    printf '%s: %s, %s s, %s\n' "${file%.sh}" "$word" "$((SECONDS - started))" "$seen"
  done
done
exit "$failed"
