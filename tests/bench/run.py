#!/usr/bin/python3
"""`leat bench net` and `leat bench apps` from outside: what they print, and that they refuse."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..'))
from leat_test import NATIVE, Skip, cli, equal, main, need, ok, test, true  # noqa: E402

SLOW = 'slow' in os.environ.get('LEAT_BENCH_TESTS', '')
KINDS = {'native', 'leat', 'ratio', 'native_cpu', 'leat_cpu'}
LATENCY = {'native_p99', 'leat_p99', 'p99_ratio', 'native_max', 'leat_max'}

if NATIVE:
    print('1..0 # SKIP benchmarks compare with native runs themselves')
    sys.exit(0)


def figures(suite, *cases):
    """{case: {kind: value}} of a quick run."""
    r = ok(cli('bench', suite, '--quick', '--json', '--only', ','.join(cases), timeout=600))
    found = {}
    for f in json.loads(r.out):
        equal(sorted(f), ['name', 'unit', 'value'], 'keys of a figure')
        case, kind = f['name'].split('.')
        found.setdefault(case, {})[kind] = f['value']
    equal(sorted(found), sorted(cases), 'cases')
    return found


def sound(case, kinds):
    true(set(case) == kinds, 'figures are %s' % sorted(case))
    true(all(v > 0 for k, v in case.items() if not k.endswith('_cpu')), 'all are measured')
    ratio = case['leat'] / case['native']
    true(abs(case['ratio'] - ratio) < 1e-6 * ratio, 'above 1, Leat is better')


@test
def round_trips():
    sound(figures('net', 'rr_c1')['rr_c1'], KINDS | LATENCY)


@test
def unknown_names():
    for argv in (['bench', 'nothing'], ['bench', 'net', '--only', 'nothing']):
        r = cli(*argv)
        true(r.code != 0 and b'nothing' in r.err, 'refused by name')


@test
def every_case_of_net():
    if not SLOW:
        raise Skip('in suite slow')
    cases = figures('net', 'rr_c64', 'bulk_1', 'bulk_8', 'udp64', 'connect')
    for name, case in cases.items():
        sound(case, KINDS | (set() if name[:4] in ('bulk', 'udp6') else LATENCY))


@test
def every_case_of_apps():
    if not SLOW:
        raise Skip('in suite slow')
    need('wrk', 'memcached', 'nginx', 'node', 'javac', 'go', 'redis-server')
    for name, case in figures('apps', 'redis_get_c1', 'redis_get_c50_p16', 'memcached_c50',
                              'nginx_c50', 'nginx_close_c50', 'go_c50', 'node_c50', 'python_c50',
                              'java_c50').items():
        sound(case, KINDS | LATENCY)


main()
