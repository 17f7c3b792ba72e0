#!/usr/bin/python3
"""10,000 quick exits, and 1,000 instances at once: nothing is left."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..'))
from leat_test import LEAT, NATIVE, equal, execute, main, need, ok, popen, test, true  # noqa: E402
from leaks import Leaks  # noqa: E402

EXITS, AT_ONCE = 10000, 8

if NATIVE:
    print('1..0 # SKIP instances have no native form')
    sys.exit(0)


def bench(*args):
    r = ok(execute([LEAT, 'bench', 'density', *args], timeout=300))
    sys.stderr.write(r.err.decode())
    return r.text


@test
def bench_density_counts_and_leaks_nothing():
    need('musl-gcc')
    figures = {f['name']: f for f in json.loads(
        bench('--quick', '--instances', '12', '--only', 'leat,native', '--json'))}
    for side in ('leat', 'native'):
        equal(figures['instances.' + side]['value'], 12, 'instances.' + side)
        for name, unit in (('start_alone', 'ms'), ('start_rate', '/s'), ('request', 'us'),
                           ('request_p99', 'us'), ('pss_per_instance_12', 'KiB')):
            f = figures[name + '.' + side]
            equal(f['unit'], unit, name)
            true(f['value'] > 0, name + ' is more than 0')
        true('memory_per_instance_1.' + side in figures, 'memory of one')
        true('idle_cpu.' + side in figures, 'idle CPU time')
    equal(figures['leaks.leat']['value'], 0, 'leaks')
    for name in ('start_alone', 'start_rate', 'request', 'request_p99'):
        a, b = figures[name + '.native']['value'], figures[name + '.leat']['value']
        want = b / a if name == 'start_rate' else a / b
        true(abs(figures[name + '.ratio']['value'] - want) < 1e-6 * want, name + '.ratio')


@test
def quick_exits():
    with Leaks():
        for _ in range(EXITS // AT_ONCE):
            running = [popen([LEAT, 'run', '--', '/bin/true']) for _ in range(AT_ONCE)]
            for p in running:
                equal(p.wait(60), 0, 'exit code')


@test
def a_thousand_at_once():
    need('musl-gcc')
    text = ok(execute([LEAT, 'bench', 'density', '--instances', '1000', '--only', 'leat',
                       '--json'], timeout=3600)).text
    figures = {f['name']: f['value'] for f in json.loads(text)}
    equal(figures['instances.leat'], 1000, 'instances that answered')
    equal(figures['leaks.leat'], 0, 'leaks')
    true(figures['memory_per_instance_1000.leat'] < 2048, 'they are small')


main()
