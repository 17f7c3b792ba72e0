#!/usr/bin/python3
"""Runs every program of tests/syscall natively and in Leat: the outputs must be equal.

usage: run.py FOLDER-OF-THE-PROGRAMS [NAME...]
"""
import glob
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..'))
import leat_test as t  # noqa: E402

PROGRAMS = sys.argv[1]
# what some of them need of `leat run`: the program itself sees to it natively
OPTIONS = {'policies': ['--cpus', '1']}


def tree_for_overlay(name):
    """The files that overlay.c changes."""
    top = t.work_dir(name)
    for sub in ('sub', 'tree', 'tree/x'):
        os.mkdir(os.path.join(top, sub))
        os.chmod(os.path.join(top, sub), 0o755)
    for f, text in (('a', 'the first file'), ('b', 'second'), ('c', 'third'), ('sub/inner', 'x'),
                    ('tree/x/y', 'deep')):
        t.write_file(os.path.join(top, f), text)
    return top


def listing(top):
    return sorted((os.path.relpath(os.path.join(d, f), top), open(os.path.join(d, f)).read())
                  for d, _, files in os.walk(top) for f in files)


def run_overlay(path):
    native = t.execute([path, tree_for_overlay('overlay-native')])
    host = tree_for_overlay('overlay-host')
    before = listing(host)
    inside = t.leat([path, host])
    if inside.code != native.code or inside.out != native.out:
        raise t.Failed('differs: %s\n  %s' % (t.first_difference(native.out, inside.out), inside))
    if not t.NATIVE:
        t.equal(listing(host), before, 'the host after the run')


def make(path):
    name = os.path.basename(path)[len('sys-'):]

    def run():
        # a copy that instances can read wherever the checkout lies
        copy = os.path.join(t.WORK, name)
        shutil.copy(path, copy)
        os.chmod(copy, 0o755)
        try:
            if name == 'overlay':
                run_overlay(copy)
            else:
                t.same([copy], OPTIONS.get(name, ()), stderr=True)
        finally:
            for d in glob.glob('/tmp/leat-t.*'):
                shutil.rmtree(d, ignore_errors=True)

    run.__name__ = name
    return t.test(run)


for program in sorted(glob.glob(os.path.join(PROGRAMS, 'sys-*'))):
    if os.access(program, os.X_OK) and os.path.isfile(program):
        make(program)
t.main()
