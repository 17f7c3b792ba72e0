#!/usr/bin/python3
"""Writes docs/syscalls.md from libos/syscalls.def, the only table of system calls.

usage: gen-syscalls-doc.py [--check]   (--check: exit 1 if the file is not up to date)
"""
import os
import re
import sys

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), '..'))
TABLE = os.path.join(ROOT, 'libos', 'syscalls.def')
PAGE = os.path.join(ROOT, 'docs', 'syscalls.md')

GROUPS = [('FILE', 'Files and descriptors'), ('FS', 'File systems and paths'),
          ('POLL', 'Waiting'), ('MEM', 'Memory'), ('TASK', 'Tasks'), ('SIGNAL', 'Signals'),
          ('TIME', 'Time'), ('NET', 'Sockets'), ('MISC', 'Everything else')]

LINE = re.compile(r'^SYSCALL\((\d+),\s*(\w+),\s*(\w+),\s*(\w+),\s*([\w| ]+),\s*(\d+),\s*"([^"]*)",'
                  r'\s*((?:"(?:[^"\\]|\\.)*"\s*)+)\)', re.M)


def calls():
    """The table's lines; complains about what it cannot read and about wrong order."""
    with open(TABLE, encoding='utf-8') as f:
        text = re.sub(r'/\*.*?\*/', '', f.read(), flags=re.S)
    found = [m.groups() for m in LINE.finditer(text)]
    if len(found) != len(re.findall(r'^\s*SYSCALL\(', text, re.M)):
        sys.exit('syscalls.def: a line that the generator cannot read')
    numbers = [int(c[0]) for c in found]
    if numbers != sorted(set(numbers)):
        sys.exit('syscalls.def: numbers are not sorted, or one is there twice')
    known = {g for g, _ in GROUPS}
    for c in found:
        if c[2] not in known:
            sys.exit('syscalls.def: %s: unknown group %s' % (c[1], c[2]))
        if c[3] not in ('FULL', 'PARTIAL'):
            sys.exit('syscalls.def: %s: unknown status %s' % (c[1], c[3]))
        note = ''.join(re.findall(r'"((?:[^"\\]|\\.)*)"', c[7]))
        if c[3] == 'PARTIAL' and not note:
            sys.exit('syscalls.def: %s is partial and does not say what is missing' % c[1])
        yield int(c[0]), c[1], c[2], c[3], note.replace('\\"', '"')


def page():
    table = list(calls())
    out = ['# System calls', '',
           'Generated from `libos/syscalls.def` by `scripts/gen-syscalls-doc.py`; do not edit.', '',
           'Leat answers %d system calls, %d of them completely. Every other call is answered with '
           '`-ENOSYS`.' % (len(table), sum(c[3] == 'FULL' for c in table)),
           'Programs of `tests/syscall/` run natively and in Leat and must print the same.', '']
    for group, title in GROUPS:
        rows = [c for c in table if c[2] == group]
        if not rows:
            continue
        out += ['## ' + title, '', '| nr | call | status | what is missing or special |',
                '|---|---|---|---|']
        out += ['| %d | `%s` | %s | %s |' % (nr, name, status.lower(), note.replace('|', '\\|'))
                for nr, name, _, status, note in rows]
        out.append('')
    return '\n'.join(out)


def main():
    text = page()
    if '--check' in sys.argv:
        with open(PAGE, encoding='utf-8') as f:
            if f.read() != text:
                sys.exit('docs/syscalls.md is not up to date: run scripts/gen-syscalls-doc.py')
        return
    with open(PAGE, 'w', encoding='utf-8') as f:
        f.write(text)


if __name__ == '__main__':
    main()
