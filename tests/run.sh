#!/bin/sh
# Runs test commands one after the other and adds up what their runners counted.
#   sh tests/run.sh 'COMMAND' 'COMMAND' ...
# Understands the closing lines of cmocka, pytest and "N passed, N failed". A command that fails without counting a failure
# (a crash, say) counts as one. Ends in "N passed, N failed"; exit status 1 if anything failed.
set -u

passed=0
failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

for command in "$@"; do
    echo "== $command"
    { sh -c "$command" 2>&1; echo "status $?"; } | tee "$log" | grep -v -e '^status ' -e '\[ RUN ' -e '\[       OK ' -e '^\[=====' -e '^$'
    p=$(sed -n -e 's/^\[  PASSED  \] \([0-9]*\) test.*/\1/p' -e 's/^=* *\(.* \)\{0,1\}\([0-9][0-9]*\) passed.*/\2/p' "$log" |
        awk '{n += $1} END {print n + 0}')
    f=$(sed -n -e 's/^\[  FAILED  \] \([0-9]*\) test.*/\1/p' -e 's/^.*[^0-9]\{0,1\}\b\([0-9][0-9]*\) failed.*/\1/p' "$log" |
        awk '{n += $1} END {print n + 0}')
    status=$(sed -n 's/^status //p' "$log" | tail -n 1)
    [ "$status" = 0 ] || [ "$f" -gt 0 ] || f=1
    passed=$((passed + p))
    failed=$((failed + f))
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
