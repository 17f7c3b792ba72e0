#!/usr/bin/python3
"""Rules of style that need no compiler: purpose comments, guards, line and function length."""
import re
import lint

MAX_COLUMNS = 100
MAX_FUNCTION_LINES = 70

# Functions that may be longer: interpreters and dispatch tables, with the reason in their comment.
LONG_MARK = 'long:'


def is_ours(name):
    return not name.startswith('bpf/corpus/')


def first_comment(name):
    text = lint.read(name).lstrip()
    if not text.startswith(('/*', '//')) and not text.startswith('#pragma once'):
        return ['%s: the first comment says what the file is for' % name]
    return []


def guard(name):
    if not re.search(r'^#pragma once$', lint.read(name), re.M):
        return ['%s: no #pragma once' % name]
    return []


def columns(name):
    for n, line in enumerate(lint.read(name).split('\n'), 1):
        if len(line.expandtabs(8)) > MAX_COLUMNS:
            yield '%s:%d: %d columns' % (name, n, len(line.expandtabs(8)))


def function_lines(name):
    lines = lint.read(name).split('\n')
    start = None
    for n, line in enumerate(lines, 1):
        if line == '{':
            start = n
        elif line == '}' and start:
            if n - start - 1 > MAX_FUNCTION_LINES:
                head = '\n'.join(lines[max(0, start - 20):start])
                if LONG_MARK not in head:
                    yield '%s:%d: a function of %d lines' % (name, start, n - start - 1)
            start = None


def dead_code(name):
    for n, line in enumerate(lint.read(name).split('\n'), 1):
        if re.match(r'\s*#\s*if\s+0\b', line):
            yield '%s:%d: #if 0' % (name, n)


sources = [n for n in lint.files('.c', '.h', '.S') if is_ours(n)]
report = lint.Report()
report.check('every file says what it is for', [p for n in sources for p in first_comment(n)])
report.check('headers have #pragma once',
             [p for n in sources if n.endswith('.h') for p in guard(n)])
report.check('%d columns' % MAX_COLUMNS, [p for n in sources for p in columns(n)])
report.check('functions of at most %d lines' % MAX_FUNCTION_LINES,
             # main() of a program in tests/syscall is a script, line after line
             [p for n in sources if n.endswith('.c') and not n.startswith('tests/syscall/')
              for p in function_lines(n)])
report.check('no #if 0', [p for n in sources for p in dead_code(n)])
report.done()
