#!/usr/bin/python3
"""Many instances at once: the benchmark's own figures, and nothing left behind."""
import json
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..'))
from leat_test import (ENV, LEAT, NATIVE, cli, equal, execute, leat, main, need, ok, popen, test,
                       true, until, work_dir)  # noqa: E402
from leaks import Leaks, launcher_pid, leatd_pid, processes_of, uid_low  # noqa: E402

if NATIVE:
    print('1..0 # SKIP instances have no native form')
    sys.exit(0)


def ps():
    return json.loads(ok(cli('ps', '--json')).out)


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


def alive(pid):
    """Not a zombie either."""
    try:
        with open('/proc/%d/stat' % pid) as f:
            return f.read().rsplit(') ', 1)[1][0] != 'Z'
    except OSError:
        return False


def namespaces():
    return [n for n in os.listdir('/run/netns') if n.startswith(ENV['LEAT_NETNS'])]


def started(count):
    """Instances in several states; (leatd, launcher, first uid)."""
    for i, text in enumerate(['exec sleep 1000', 'while :; do :; done', 'sleep 1000 & wait'][:count]):
        ok(cli('run', '-d', '--name', 'f%d' % i, '--', '/bin/sh', '-c', text))
    pid = leatd_pid()
    until(namespaces, 'the namespace of the uplink')
    return pid, launcher_pid(pid), uid_low(pid)


@test
def launcher_killed():
    """leatd ends with all instances, and the next one starts clean."""
    pid, launcher, low = started(3)
    os.kill(launcher, signal.SIGKILL)
    until(lambda: not alive(pid), 'leatd has ended')
    until(lambda: not processes_of(low), 'all instances have ended')
    equal(namespaces(), [], 'namespaces')
    equal(ok(leat(['/bin/echo', 'again'])).text, 'again\n', 'the next one')


@test
def leatd_killed():
    """The launcher ends all instances; what the dead leatd could not remove, the next one does."""
    pid, launcher, low = started(3)
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(launcher), 'the launcher has ended')
    until(lambda: not processes_of(low), 'all instances have ended')
    true(namespaces(), 'a name is left')
    equal(ok(leat(['/bin/echo', 'again'])).text, 'again\n', 'the next one')
    pid, _, low = started(1)
    equal(namespaces(), [ENV['LEAT_NETNS']], 'one name, and its own')
    os.kill(pid, signal.SIGTERM)
    until(lambda: not alive(pid), 'leatd has ended')
    until(lambda: not processes_of(low), 'all instances have ended')
    equal(namespaces(), [], 'namespaces')
    equal([n for n in os.listdir('/run/lock/leat') if ENV['LEAT_NETNS'] in n], [], 'locks')


@test
def a_full_disk_loses_lines_only():
    """The state directory has no room: an instance prints on, others start."""
    need('mount')
    state = work_dir('full')
    ok(execute(['mount', '-t', 'tmpfs', '-o', 'size=256k,mode=700', 'leat-test', state]))
    env = dict(ENV, LEAT_STATE_DIR=state, LEAT_NETNS=ENV['LEAT_NETNS'] + 'f')
    try:
        ok(execute([LEAT, 'run', '--', '/bin/true'], env=env))
        with open(os.path.join(state, 'ballast'), 'wb', buffering=0) as f:
            try:
                while f.write(b'x' * 4096) == 4096:
                    pass
            except OSError:
                pass
        ok(execute([LEAT, 'run', '-d', '--name', 'talks', '--', '/bin/sh', '-c',
                    'i=0; while [ $i -lt 3000 ]; do echo a line of some length $i; i=$((i+1)); '
                    'done; exec sleep 1000'], env=env))
        r = ok(execute([LEAT, 'run', '--', '/bin/echo', 'hi'], env=env))
        equal(r.text, 'hi\n', 'another instance')
        true('running' in ok(execute([LEAT, 'ps'], env=env)).text, 'the one that prints lives')
    finally:
        with open(os.path.join(state, 'lock')) as f:
            pid = f.read().strip()
        if pid:
            os.kill(int(pid), signal.SIGTERM)
            until(lambda: not alive(int(pid)), 'leatd has ended')
        ok(execute(['umount', '-l', state]))


main()
