#!/usr/bin/python3
"""Runs the tests of a build folder and sums them up.

Every meson test is one program. A program that speaks TAP or cmocka is counted by its sub-tests,
any other counts as one. The last line is 'N passed, N failed'; the exit code is 0 only if nothing
failed.
"""
import argparse
import json
import os
import re
import subprocess
import sys

UNIT_SUITES = ['bpf', 'net', 'libos', 'loader', 'sched', 'dpu', 'apps']
# Not part of `make check`: long ones, and fuzzing beyond its stored inputs.
SLOW_SUITES = ['slow', 'full']


def count_tap(text):
    passed, failed, names = 0, 0, []
    for line in text.splitlines():
        m = re.match(r'\s*(not ok|ok)\b\s*\d*\s*-?\s*(.*)', line)
        if not m:
            continue
        todo = '# TODO' in line or '# SKIP' in line.upper()
        if m.group(1) == 'ok':
            passed += 0 if todo else 1
        elif not todo:
            failed += 1
            names.append(m.group(2))
    return passed, failed, names


def count_cmocka(text):
    passed = text.count('[       OK ]')
    names = sorted(set(re.findall(r'^\[  FAILED  \] (?!\d+ test)(\S+)', text, re.M)))
    return passed, len(names), names


def count(test):
    """(passed, failed, failed names) of one meson test."""
    text = (test.get('stdout') or '') + '\n' + (test.get('stderr') or '')
    bad = test['result'] not in ('OK', 'EXPECTEDFAIL', 'SKIP')
    if re.search(r'^\s*1\.\.\d+', text, re.M):
        passed, failed, names = count_tap(text)
    elif '[       OK ]' in text or '[  FAILED  ]' in text:
        passed, failed, names = count_cmocka(text)
    else:
        passed, failed, names = 0, 0, []
        if test['result'] == 'OK':
            passed = 1
    if bad and failed == 0:
        failed, names = 1, [test['result'].lower()]
    return passed, failed, names


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('build')
    ap.add_argument('--full', action='store_true', help='the slow tests too')
    ap.add_argument('--unit', action='store_true', help='only tests that run as plain processes')
    ap.add_argument('--suite', action='append', default=[])
    args = ap.parse_args()

    cmd = ['meson', 'test', '-C', args.build, '--no-rebuild']
    suites = args.suite or (UNIT_SUITES if args.unit else [])
    for s in suites:
        cmd += ['--suite', s]
    if not args.full:
        for s in SLOW_SUITES:
            cmd += ['--no-suite', s]

    log = os.path.join(args.build, 'meson-logs', 'testlog.json')
    if os.path.exists(log):
        os.unlink(log)
    # the list of verdicts goes to the terminal as the tests end; meson's own sum is replaced
    rc = subprocess.run(cmd).returncode
    if not os.path.exists(log):
        print('check: meson test wrote no log')
        print('0 passed, 1 failed')
        return 1

    passed = failed = 0
    with open(log) as f:
        tests = [json.loads(line) for line in f if line.strip()]
    for t in tests:
        p, n, names = count(t)
        passed, failed = passed + p, failed + n
        if n:
            print('FAILED %s: %s' % (t['name'], ', '.join(names)))
            tail = (t.get('stdout') or '').splitlines()[-40:]
            tail += (t.get('stderr') or '').splitlines()[-40:]
            print('\n'.join('    ' + line for line in tail))
    if not tests:
        failed += 1
        print('check: no test ran')
    elif rc != 0 and failed == 0:
        failed += 1
        print('check: meson test ended with %d' % rc)
    print('%d passed, %d failed' % (passed, failed))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
