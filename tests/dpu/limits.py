#!/usr/bin/python3
"""Limits and tenants of running instances: what passes, what does not, and what inspect says."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..'))
from leat_test import (BUILD, NATIVE, WORK, cli, equal, leat, main, ok, test, true, until)  # noqa: E402

NET = os.path.join(BUILD, 'apps', 'bench-net')
IP = '10.99.7.7'
PORT = '9100'

if NATIVE:
    print('1..0 # SKIP limits of instances have no native form')
    sys.exit(0)


def inspect(name):
    return json.loads(ok(cli('inspect', name, '--json')).out)


class Server:
    def __init__(self, *opts):
        self.opts = opts

    def __enter__(self):
        ok(cli('run', '-d', '--name', 'server', '--ip', IP, *self.opts, '--', NET, 'server', PORT))
        until(lambda: b'ready' in cli('logs', 'server').out, 'the server')

    def __exit__(self, *exc):
        cli('kill', 'server')
        until(lambda: cli('rm', 'server').code == 0, 'rm')


def client(kind, n, seconds, *opts, **kw):
    return leat([NET, kind, IP, PORT, str(n), str(seconds)], opts, **kw)


def measured(r):
    operations, seconds = ok(r).text.split()[:2]
    return float(operations), float(seconds)


@test
def packets_sent():
    """Round trips need a frame each way: no more of them than the client may send frames."""
    with Server():
        n, seconds = measured(client('rr', 4, 0.5, '--pps', '500:20'))
        true(n <= 500 * (seconds + 0.01) + 20, '%d round trips in %.2f s' % (n, seconds))


@test
def bits_received():
    with Server('--bps', '20M:400K'):
        n, seconds = measured(client('bulk', 1, 1, timeout=60))
        true(n * 8 <= 20e6 * (seconds + 0.01) + 4e5, '%d bytes in %.2f s' % (n, seconds))
        info = inspect('server')
        equal(info['limits'], {'bps': 20000000, 'bps_burst': 400000}, 'limits')
        true(info['packets']['dropped_received'].get('limit', 0) > 0, 'drops are counted')


@test
def changed_while_it_runs():
    with Server('--pps', '100:4'):
        n, seconds = measured(client('rr', 8, 0.5))
        true(n <= 100 * (seconds + 0.01) + 4, '%d round trips at first' % n)
        info = inspect('server')
        true(sum(q['tx_waits'] for q in info['queues']) > 0 or
             info['packets']['dropped_received'].get('limit', 0) > 0, 'the limit was met')
        ok(cli('limit', 'server', '--pps', 'none', '--bps', '10G'))
        equal(sorted(inspect('server')['limits']), ['bps', 'bps_burst'], 'limits')
        measured(client('bulk', 1, 0.2))


@test
def nonsense_is_refused():
    for value in ('0', '-1', '1X', '1:', ':1', '', '9' * 30, '1K:0'):
        r = leat(['/bin/true'], ['--pps', value])
        true(r.code == 125 and b'--pps' in r.err, '--pps %r gives %s' % (value, r))
    equal(cli('limit', 'nobody', '--pps', '1').code, 125, 'no such instance')
    equal(cli('limit', 'nobody').code, 125, 'nothing to change')


@test
def tenants_do_not_see_each_other():
    with Server('--tenant', 'blue'):
        equal(inspect('server')['tenant'], 'blue', 'tenant')
        measured(client('connect', 1, 3, '--tenant', 'blue'))
        for opts in ((), ('--tenant', 'red')):
            r = client('connect', 1, 1, *opts, timeout=60)
            true(r.code == 1 and b'connect' in r.err, 'not reached from another tenant: %s' % r)
        equal(inspect('server')['packets']['dropped_received'], {}, 'nothing came so far')


@test
def address_used_again():
    """Who knew an address when another instance had it reaches the new one at once."""
    code = ('''
import os, socket, sys, time
for i in range(2):
    s = socket.create_connection(("%s", %s), 3)
    s.close()
    print("reached", flush=True)
    if i == 0:
        while not os.path.exists("/signal/go"):
            time.sleep(0.02)
''' % (IP, PORT))
    folder = os.path.join(WORK, 'signal')
    os.makedirs(folder)
    with Server():
        ok(cli('run', '-d', '--name', 'asker', '-v', folder + ':/signal', '--',
               '/usr/bin/python3', '-c', code))
        until(lambda: b'reached' in cli('logs', 'asker').out, 'the first time')
    with Server():
        with open(os.path.join(folder, 'go'), 'w'):
            pass
        until(lambda: cli('logs', 'asker').out.count(b'reached') == 2, 'the second time')
    until(lambda: cli('rm', 'asker').code == 0, 'rm')


main()
