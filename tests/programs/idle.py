#!/usr/bin/python3
"""100,000 idle connections to one instance fit in 256 MiB (`make check-full`)."""
import json
import os
import resource
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..'))
from leat_test import NATIVE, Failed, cli, main, ok, test, true, until  # noqa: E402

if NATIVE:
    print('1..0 # SKIP Leat itself')
    sys.exit(0)

IDLE = os.path.join(sys.argv[1], 'idle')
CLIENTS = 4
EACH = 25000
LIMIT = 256 << 20


def resident(pid):
    """Bytes of host memory that the process has mapped and touched, shared ones too."""
    with open('/proc/%d/smaps_rollup' % pid) as f:
        for line in f:
            if line.startswith('Rss:'):
                return int(line.split()[1]) * 1024
    raise Failed('no Rss of %d' % pid)


def said(name, what):
    return lambda: what.encode() in cli('logs', name).out


def instance(name):
    return next(i for i in json.loads(cli('ps', '--json').out) if i['name'] == name)


@test
def a_hundred_thousand_idle_connections():
    resource.setrlimit(resource.RLIMIT_NOFILE, (200000, 200000))
    names = ['server'] + ['client%d' % i for i in range(CLIENTS)]
    ok(cli('run', '-d', '--name', 'server', '--memory', '256M', '--', IDLE, 'server', '80',
           str(CLIENTS * EACH)))
    until(said('server', 'up'), 'the server', timeout=60)
    server = instance('server')
    before = resident(server['pid'])
    for name in names[1:]:
        ok(cli('run', '-d', '--name', name, '--', IDLE, 'client', server['ip'], '80', str(EACH)))
    for name in names[1:]:
        until(said(name, 'echoed'), name + ' has made its connections', timeout=600)
    until(said('server', 'all %d' % (CLIENTS * EACH)), 'all connections', timeout=60)
    after = resident(server['pid'])
    print('# %d MiB before, %d MiB with %d connections: %d bytes each' % (
        before >> 20, after >> 20, CLIENTS * EACH, (after - before) // (CLIENTS * EACH)))
    true(after < LIMIT, '%d MiB' % (after >> 20))
    for name in names:
        cli('kill', name)
    for name in names:
        until(lambda n=name: cli('rm', n).code == 0, 'rm ' + name)


if __name__ == '__main__':
    main()
