#!/usr/bin/python3
"""Numbers: many instances at once, many starts, long transfers (`make check-full`)."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..'))
from leat_test import NATIVE, cli, equal, leat, main, ok, test, until  # noqa: E402

if NATIVE:
    print('1..0 # SKIP Leat itself')
    sys.exit(0)


@test
def a_hundred_idle_instances():
    names = ['many%d' % i for i in range(100)]
    for n in names:
        ok(cli('run', '-d', '--name', n, '--', '/bin/sleep', '1000'))
    equal(len(json.loads(cli('ps', '--json').out)), 100, 'instances in ps')
    ok(leat(['/bin/echo', 'one more']), 'one more\n')
    for n in names:
        ok(cli('kill', n))
    for n in names:
        until(lambda n=n: cli('rm', n).code == 0, 'rm ' + n)


@test
def five_hundred_starts():
    for _ in range(500):
        ok(leat(['/bin/true']))


@test
def a_long_pipe():
    ok(leat(['/bin/sh', '-c', 'head -c 2000000000 /dev/zero | wc -c'], timeout=120), '2000000000\n')


if __name__ == '__main__':
    main()
