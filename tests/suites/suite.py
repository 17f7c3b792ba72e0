"""What the suites of other projects have in common: results by name, native against Leat.

A suite yields {name of a test: 'ok' or what else became of it} for each side. Of what passes
natively, 98% have to pass in Leat; every difference is printed by name, with the reason where
known.txt has one.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..'))
import leat_test as t  # noqa: E402

SHARE = 0.98


def known_differences():
    """{name: reason}: a line each of known.txt, the name up to the first colon and blank."""
    path = os.path.join(os.path.dirname(__file__), 'known.txt')
    known = {}
    with open(path, encoding='utf-8') as f:
        for line in f:
            if line.strip() and not line.startswith('#'):
                name, _, reason = line.rstrip('\n').partition(': ')
                known[name] = reason
    return known


def compare(native, leat):
    """Fails if too little of what passes natively passes in Leat; prints what differs."""
    known = known_differences()
    passed = sorted(name for name, what in native.items() if what == 'ok')
    if not passed:
        raise t.Failed('nothing passes natively')
    differs = [name for name in passed if leat.get(name) != 'ok']
    for name in differs:
        print('# differs: %s: %s in Leat%s' % (
            name, leat.get(name, 'no result'),
            ' (%s)' % known[name] if name in known else ''))
    share = 1 - len(differs) / len(passed)
    print('# %d pass natively, %d of these in Leat (%.1f%%)' % (
        len(passed), len(passed) - len(differs), 100 * share))
    sys.stdout.flush()
    if share < SHARE:
        raise t.Failed('%.1f%% of what passes natively passes in Leat, %.0f%% are wanted' % (
            100 * share, 100 * SHARE))
