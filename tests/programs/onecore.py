#!/usr/bin/python3
"""A machine with one core: everything of Leat's bound to core 0, spinners included."""
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..'))
import leat_test as t  # noqa: E402
from leat_test import NATIVE, cli, equal, leat, main, need, ok, popen, test, true, until  # noqa: E402

if NATIVE:
    print('1..0 # SKIP the scheduler of Leat has no native form')
    sys.exit(0)

# leatd inherits the mask from the first `leat run`, and instances from leatd
os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})


@test
def a_program():
    ok(leat(['/bin/sh', '-c', 'seq 1000 | sort -n | tail -1; nproc']), '1000\n1\n')


@test
def redis_between_two_instances():
    need('redis-server', 'redis-benchmark')
    ok(cli('run', '-d', '--name', 'one', '--ip', '10.99.1.1', '--', '/usr/bin/redis-server', '--save',
           '', '--protected-mode', 'no'))
    try:
        until(lambda: leat(['/usr/bin/redis-cli', '-h', '10.99.1.1', 'ping']).out == b'PONG\n',
              'PONG')
        ok(leat(['/usr/bin/redis-benchmark', '-h', '10.99.1.1', '-c', '20', '-n', '5000', '-t', 'get',
                 '-q'], timeout=60))
    finally:
        cli('kill', 'one')
        until(lambda: cli('rm', 'one').code == 0, 'rm')


@test
def beside_a_spinner():
    spinners = [popen(t.leat_argv(['/bin/sh', '-c', 'while :; do :; done'])) for _ in range(2)]
    try:
        time.sleep(1)
        start = time.monotonic()
        ok(leat(['/bin/echo', 'still here']), 'still here\n')
        took = time.monotonic() - start
        true(took < 5, 'an echo beside two spinners took %.1f s' % took)
        running = [i for i in json.loads(cli('ps', '--json').out)]
        equal(len(running) >= 2, True, 'the spinners run')
    finally:
        for p in spinners:
            p.kill()
            p.wait()


@test
def spinners_share_the_core():
    code = ('import time\nend = time.monotonic() + 2\nn = 0\nwhile time.monotonic() < end: n += 1\n'
            'print(n)')
    procs = [popen(t.leat_argv(['/usr/bin/python3', '-c', code])) for _ in range(2)]
    counts = [int(p.communicate(timeout=30)[0]) for p in procs]
    true(min(counts) * 4 > max(counts), 'turns of two spinners: %s' % counts)


@test
def timers_beside_a_spinner():
    p = popen(t.leat_argv(['/bin/sh', '-c', 'while :; do :; done']))
    code = ('import time\nworst = 0\nfor i in range(100):\n  s = time.monotonic()\n  time.sleep(0.01)\n'
            '  worst = max(worst, time.monotonic() - s - 0.01)\nprint(worst)')
    try:
        time.sleep(0.5)
        worst = float(ok(leat(['/usr/bin/python3', '-c', code])).out)
        true(worst < 0.5, 'a sleep of 10 ms was %.0f ms late beside a spinner' % (worst * 1000))
    finally:
        p.kill()
        p.wait()


if __name__ == '__main__':
    main()
