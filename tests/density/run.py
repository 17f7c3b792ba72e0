#!/usr/bin/python3
"""Many instances at once: the benchmark's own figures, and nothing left behind."""
import json
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..'))
from leat_test import (LEAT, NATIVE, cli, equal, execute, main, need, ok, popen, test, true,
                       until)  # noqa: E402
from leaks import Leaks  # noqa: E402

if NATIVE:
    print('1..0 # SKIP instances have no native form')
    sys.exit(0)


def bench(*args):
    r = ok(execute([LEAT, 'bench', 'density', *args], timeout=300))
    return r.text


def ps():
    return json.loads(ok(cli('ps', '--json')).out)


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
def bench_refuses_what_it_does_not_know():
    for argv in (['bench', 'nothing'], ['bench', 'density', '--program', 'cobol'],
                 ['bench', 'density', '--instances', '0'], ['bench', 'density', '--nothing']):
        r = execute([LEAT, *argv])
        equal(r.code, 125, ' '.join(argv))
        true(r.err, 'a word about it')


@test
def quick_exits_leave_nothing():
    with Leaks():
        for _ in range(20):
            running = [popen([LEAT, 'run', '--', '/bin/true']) for _ in range(5)]
            for p in running:
                equal(p.wait(30), 0, 'exit code')


@test
def instances_killed_from_outside_leave_nothing():
    """SIGKILL to the host process: of one that sleeps, one that spins, one that has forked."""
    programs = {'sleeps': 'exec sleep 1000', 'spins': 'while :; do :; done',
                'forks': 'sleep 1000 & sleep 1000 & wait', 'writes': 'yes > /tmp/f'}
    with Leaks():
        for name, text in programs.items():
            ok(cli('run', '-d', '--name', name, '--', '/bin/sh', '-c', text))
        for i in ps():
            os.kill(i['pid'], signal.SIGKILL)
        for name in programs:
            until(lambda n=name: any(i['name'] == n and i['state'] == 'exited'
                                     for i in json.loads(cli('ps', '-a', '--json').out)),
                  name + ' has ended')
            info = json.loads(ok(cli('inspect', name, '--json')).out)
            equal(info['exit_code'], 137, 'exit code of ' + name)
            ok(cli('rm', name))


main()
