#!/usr/bin/python3
"""The core scheduler's policies live: loaded, refused, fallen back from, swapped under traffic, traced
and replayed; shares and guarantees; the guide's program."""
import json
import os
import re
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..'))
from leat_test import (BUILD, ENV, LEAT, ROOT, WORK, Failed, cli, equal, execute, kill_all,  # noqa: E402
                       leat_argv, main, need, ok, popen, processes, test, true, until, work_dir,
                       write_file)

BAD = os.path.join(BUILD, 'tests', 'sched')
PROGRAMS = os.path.join(BUILD, 'bpf', 'programs')
PYTHON = '/usr/bin/python3'

ECHO = '''
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 7))
print("ready", flush=True)
while True:
    data, peer = s.recvfrom(2048)
    s.sendto(data, peer)
'''

ASK = '''
import os, socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(20)
for i in range(int(sys.argv[2])):
    s.sendto(b"%d" % i, (sys.argv[1], 7))
    if s.recv(64) != b"%d" % i:
        sys.exit("another answer")
print("all", flush=True)
'''

SPIN = 'while True: pass'


def ip_of(name):
    return json.loads(ok(cli('inspect', '--json', name)).out)['ip']


def inspect(name):
    return json.loads(ok(cli('inspect', '--json', name)).out)


def policies():
    return json.loads(ok(cli('sched', 'list', '--json')).out)


def active():
    return [p['name'] for p in policies() if p['active']]


def start(name, code, *opts):
    """A Python program in the background."""
    ok(cli('run', '-d', '--name', name, *opts, '--', PYTHON, '-c', code))


def echo_start(name, *opts):
    start(name, ECHO, *opts)
    until(lambda: b'ready' in cli('logs', name).out, name + ' listens', timeout=30)


def ask(name, times, **kw):
    return ok(execute(leat_argv([PYTHON, '-c', ASK, ip_of(name), str(times)]), timeout=60, **kw),
              'all\n')


def stop(*names):
    for name in names:
        ok(cli('rm', '-f', name))


def back_to_built_in():
    while cli('sched', 'rollback').code == 0:
        pass
    equal(active(), ['built-in'], 'active policy')


@test
def load_list_show_rollback():
    echo_start('echo')
    equal(active(), ['built-in'], 'active policy')
    for name in ('default', 'latency', 'interference'):
        true(b'loaded in ' in ok(cli('sched', 'load', name)).out, 'says how long it took')
        equal(active(), [name], 'active policy')
        ask('echo', 50)
        shown = json.loads(ok(cli('sched', 'show', '--json')).out)
        hooks = {h['hook']: h for h in [p for p in shown['policies'] if p['active']][0]['hooks']}
        true(hooks['select_core']['asked'] > 0, name + ' is asked')
        true(0 < hooks['select_core']['longest_path'] <= hooks['select_core']['budget'], 'cost')
        equal(sum(h['bad'] for h in hooks.values()), 0, 'bad answers of ' + name)
    ok(cli('sched', 'load', os.path.join(PROGRAMS, 'sched_fifo.bpf.o')))
    equal(active(), ['sched_fifo.bpf.o'], 'active policy')
    ok(cli('sched', 'rollback'))
    equal(active(), ['interference'], 'active policy')
    true(b'select_core' in ok(cli('sched', 'show')).out, 'shows hooks')
    back_to_built_in()
    ask('echo', 50)
    stop('echo')


@test
def what_is_unsafe_is_refused():
    ok(cli('run', '--', '/bin/true'))  # leatd is there
    for name, why in (('bad_loop', b'loop without end'), ('bad_overrun', b'instructions'),
                      ('bad_hook', b'no hook'), ('bad_map', b'counts'),
                      ('bad_init', b'init says no'), ('bad_write', b'context')):
        r = cli('sched', 'load', os.path.join(BAD, name + '.bpf.o'))
        equal(r.code, 125, 'exit code for ' + name)
        true(why in r.err, '%s: %s' % (name, r.err))
    r = cli('sched', 'load', os.path.join(PROGRAMS, 'antispoof.bpf.o'))
    true(r.code == 125 and b'no hook' in r.err, 'a filter is no policy: %s' % r)
    equal(active(), ['built-in'], 'active policy')


@test
def a_lying_policy_is_left():
    echo_start('echo')
    ok(cli('sched', 'load', os.path.join(BAD, 'bad_core.bpf.o')))
    ask('echo', 100)
    equal(active(), ['built-in'], 'active policy')
    true('bad answers' in policies()[1]['reason'], policies()[1])
    true(b'fallen back from' in ok(cli('sched', 'list')).out, 'the list says so')
    back_to_built_in()
    stop('echo')


@test
def swaps_lose_nothing():
    echo_start('echo')
    p = popen(leat_argv([PYTHON, '-c', ASK, ip_of('echo'), '3000']))
    swaps = 0
    while p.poll() is None and swaps < 60:
        ok(cli('sched', 'load', ('fifo', 'latency', 'fair')[swaps % 3]))
        swaps += 1
    out, err = p.communicate(timeout=60)
    equal((p.returncode, out), (0, b'all\n'), 'outcome of 3000 requests, %s' % err)
    true(swaps > 0, 'policies were swapped')
    back_to_built_in()
    stop('echo')


@test
def a_trace_replays():
    """What a live run decided, the simulator decides again, in the same order."""
    for policy in (None, 'latency', 'fair'):
        file = os.path.join(WORK, 'trace-of-' + str(policy))
        ok(cli('run', '--', '/bin/true'))  # leatd is there
        until(lambda: not json.loads(ok(cli('ps', '--json')).out), 'nobody is there')
        trace = popen([LEAT, 'sched', 'trace', '-w', file])
        until(lambda: os.path.exists(file) and os.path.getsize(file) > 16, 'the trace runs')
        equal(cli('sched', 'trace').code, 125, 'one at a time')
        if policy:
            ok(cli('sched', 'load', policy))
        echo_start('echo')
        start('spin', SPIN)
        start('spin2', SPIN)
        ask('echo', 300)
        stop('spin', 'spin2', 'echo')
        trace.send_signal(signal.SIGINT)
        _, err = trace.communicate(timeout=30)
        equal(trace.returncode, 0, 'exit code of the trace')
        true(b' 0 dropped' in err, 'records were lost: %s' % err)
        r = cli('sched', 'simulate', '--replay', file, *(['--policy', policy] if policy else []))
        numbers = dict(line.split() for line in r.text.splitlines() if len(line.split()) == 2)
        true(r.code == 0 and int(numbers['decisions']) > 100,
             'policy %s: %s' % (policy, r))
        back_to_built_in()
    # lines, too
    lines = os.path.join(WORK, 'lines')
    with open(lines, 'wb') as out:
        trace = popen([LEAT, 'sched', 'trace', '--decisions'], stdout=out)

    def granted():
        ok(cli('run', '--', '/bin/true'))
        with open(lines, 'rb') as f:
            return re.search(rb'^\d+\.\d{9} GRANT core=\d+ vcpu=\d+ instance=\d+ delay_ns=\d+',
                             f.read(), re.M)

    until(granted, 'a line for a grant')
    trace.send_signal(signal.SIGINT)
    equal(trace.wait(30), 0, 'exit code of the trace')


@test
def simulations_repeat():
    args = ['sched', 'simulate', '--policy', 'fair', '--json', '--cores', '8', '--instances',
            '200', '--hogs', '20', '--tenants', '3', '--duration', '200']
    one = json.loads(ok(cli(*args)).out)
    equal(json.loads(ok(cli(*args)).out), one, 'the same seed again')
    other = json.loads(ok(cli(*args, '--seed', '2')).out)
    true(other['digest'] != one['digest'], 'another seed is another run')
    file = os.path.join(WORK, 'simulated')
    ok(cli(*args, '--write', file))
    true(b'same' in ok(cli('sched', 'simulate', '--replay', file, '--policy', 'fair')).out, 'replays')
    equal(cli('sched', 'simulate', '--replay', file).code, 125, 'without its policy')
    equal(cli('sched', 'simulate', '--replay', file, '--policy', 'fifo').code, 1, 'with another')
    equal(cli('sched', 'simulate', '--replay', '/bin/true').code, 125, 'no trace')


@test
def tags_and_weights():
    start('one', SPIN, '--tag', 'word=5', '--weight', '30', '--tenant', 'blue')
    shown = inspect('one')
    equal((shown['tag_word'], shown['weight']), (5, 30), 'tag word and weight')
    ok(cli('sched', 'share', '--tag', '6', '--weight', '40', 'instance', 'one'))
    shown = inspect('one')
    equal((shown['tag_word'], shown['weight']), (6, 40), 'tag word and weight')
    ok(cli('sched', 'share', '--tag', '1', '--weight', '300', 'tenant', 'blue'))
    ok(cli('sched', 'share', '--tag', '2', 'function', 'f'))
    for bad in (['--weight', '0', 'instance', 'one'], ['instance', 'one'],
                ['--tag', '1', 'instance', 'nobody'], ['--weight', '5', 'function', 'f'],
                ['--tag', '1', 'planet', 'one']):
        equal(cli('sched', 'share', *bad).code, 125, 'exit code for %s' % bad)
    equal(cli('run', '--tag', 'word=x', '--', '/bin/true').code, 125, 'a word that is no number')
    stop('one')


@test
def guaranteed_cores():
    cores = len(os.sched_getaffinity(0))
    start('sure', SPIN, '--cpus', '1:1')
    equal((inspect('sure')['cpus'], inspect('sure')['guaranteed_cpus']), (1, 1), 'cpus')
    r = cli('run', '--cpus', '%d:%d' % (cores, cores), '--', '/bin/true')
    true(r.code == 125 and b'cannot guarantee' in r.err, 'more than there are: %s' % r)
    ok(cli('run', '--cpus', '0:2', '--', '/bin/true'))
    for bad in ('3:2', '1:', ':', '1:33', 'x:1'):
        equal(cli('run', '--cpus', bad, '--', '/bin/true').code, 125, bad)
    stop('sure')
    ok(cli('run', '--cpus', '%d:%d' % (cores, cores), '--', '/bin/true'))


@test
def the_guides_program():
    """Compiled and loaded as docs/policies.md says."""
    need('clang')
    with open(os.path.join(ROOT, 'docs', 'policies.md'), encoding='utf-8') as f:
        text = f.read()
    program = re.search(r'^```c\n(.*?)^```', text, re.M | re.S).group(1)
    command = re.search(r'^    (clang .*)$', text, re.M).group(1).split()
    true(len(program.splitlines()) <= 30, 'it has %d lines' % len(program.splitlines()))
    folder = work_dir('policy')
    write_file(os.path.join(folder, 'turns.bpf.c'), program)
    multiarch = execute(['gcc', '-print-multiarch']).text.strip()
    ok(execute(command + ['-I' + os.path.join(ROOT, 'include'), '-idirafter',
                          '/usr/include/' + multiarch], cwd=folder))
    ok(cli('bpf', 'verify', 'turns.bpf.o', cwd=folder))
    r = json.loads(ok(cli('sched', 'simulate', '--policy', 'turns.bpf.o', '--json', '--hogs', '20',
                          '--duration', '300', cwd=folder)).out)
    equal((r['policy'], r['fallen_back']), ('turns.bpf.o', ''), 'the simulation')
    echo_start('echo')
    ok(cli('sched', 'load', 'turns.bpf.o', cwd=folder))
    equal(active(), ['turns.bpf.o'], 'active policy')
    ask('echo', 100)
    equal(active(), ['turns.bpf.o'], 'active policy')
    back_to_built_in()
    stop('echo')


@test
def foreign_load_starves_nobody():
    """A program of the host on every core, and an instance that computes: the other one answers."""
    echo_start('echo')
    start('spin', SPIN)
    hogs = [subprocess.Popen([PYTHON, '-c', 'import os; os.sched_setaffinity(0, {%d})\n%s' % (
        core, SPIN)]) for core in os.sched_getaffinity(0)]
    try:
        ask('echo', 100)
        # and the one that computes gets on, too
        pid = inspect('spin')['pid']
        before = cpu_ns(pid)
        until(lambda: cpu_ns(pid) > before + 50000000, 'the instance that computes gets on',
              timeout=20)
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    stop('spin', 'echo')


def cpu_ns(pid):
    """Of all its threads."""
    total = 0
    for tid in os.listdir('/proc/%d/task' % pid):
        with open('/proc/%d/task/%s/schedstat' % (pid, tid)) as f:
            total += int(f.read().split()[0])
    return total


@test
def weights_are_shares():
    """On one core, two that compute share it by their weights."""
    kill_all()
    core = min(os.sched_getaffinity(0))
    try:
        ok(execute(['taskset', '-c', str(core), LEAT, 'run', '-d', '--name', 'light', '--weight',
                    '100', '--', PYTHON, '-c', SPIN]))
        start('heavy', SPIN, '--weight', '300')
        ok(cli('sched', 'load', 'fair'))
        pids = [inspect(name)['pid'] for name in ('light', 'heavy')]
        before = [cpu_ns(pid) for pid in pids]
        until(lambda: cpu_ns(pids[1]) - before[1] > 1500000000, 'the heavy one runs', timeout=30)
        light, heavy = [cpu_ns(pid) - b for pid, b in zip(pids, before)]
        true(2.2 < heavy / light < 4, 'weights 100 and 300, CPU time %d and %d ms' % (
            light / 1e6, heavy / 1e6))
        stop('light', 'heavy')
    finally:
        kill_all()


if __name__ == '__main__':
    main()
