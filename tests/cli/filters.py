#!/usr/bin/python3
"""Filters of running instances: replaced under traffic, looked at, their maps, their signatures."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..'))
from leat_test import (BUILD, ENV, LEAT, Failed, cli, equal, execute, leat,  # noqa: E402
                       leat_argv, main, need, ok, popen, test, true, until, work_dir, write_file)

FILTERS = os.path.join(BUILD, 'bpf', 'programs')
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

# Asks until a file appears; prints how often, and how often nobody answered.
ASK = '''
import os, socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
asked = lost = 0
while asked < int(sys.argv[2]) or not os.path.exists(sys.argv[3]):
    asked += 1
    data = b"%d" % asked
    s.sendto(data, (sys.argv[1], 7))
    try:
        while s.recv(2048) != data:
            pass
    except TimeoutError:
        lost += 1
    if asked == 1:
        print("going", flush=True)
print(asked, lost, flush=True)
'''

# Sends and does not listen, until a file appears.
SHOUT = '''
import os, socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sent = 0
while not os.path.exists(sys.argv[2]):
    s.sendto(b"x", (sys.argv[1], 7))
    sent += 1
    if sent == 1:
        print("going", flush=True)
    time.sleep(0.0005)
print(sent, flush=True)
'''


def filter_of(name):
    return os.path.join(FILTERS, name + '.bpf.o')


def inspect(name):
    return json.loads(ok(cli('inspect', '--json', name)).out)


def shown(name):
    return json.loads(ok(cli('filter', 'show', name, '--json')).out)


def packets(name):
    queues = inspect(name)['queues']
    return sum(q['tx_packets'] for q in queues), sum(q['rx_packets'] for q in queues)


class Server:
    """A detached instance that answers on UDP port 7."""

    def __init__(self, name, ip, *opts):
        self.name, self.ip = name, ip
        ok(cli('run', '-d', '--name', name, '--ip', ip, *opts, '--', PYTHON, '-c', ECHO))

    def __enter__(self):
        until(lambda: b'ready' in cli('logs', self.name).out, self.name + ' is ready', 60)
        return self

    def __exit__(self, *_):
        cli('rm', '-f', self.name)


class Client:
    """An instance in the foreground that goes on until its stop file is there."""

    def __init__(self, folder, program, ip, *args):
        self.stop = os.path.join(folder, 'stop')
        self.proc = popen(leat_argv([PYTHON, '-c', program, ip, *args, '/stop/stop'],
                                    ['-v', folder + ':/stop:ro']))
        line = self.proc.stdout.readline()
        if line != b'going\n':
            raise Failed('the client says %r: %r' % (line, self.proc.communicate()))

    def finish(self):
        write_file(self.stop, '')
        out, err = self.proc.communicate(timeout=60)
        equal(self.proc.returncode, 0, 'exit of the client (%r)' % err)
        return [int(n) for n in out.split()]


@test
def nothing_is_lost_between_two_filters():
    need(PYTHON)
    with Server('echo2', '10.99.7.2') as server:
        client = Client(work_dir('traffic2'), ASK, server.ip, '200')
        before = shown('echo2')
        for i in range(100):
            ok(cli('filter', 'set', 'echo2', filter_of(('passall', 'antispoof')[i % 2])))
        after = shown('echo2')
        asked, lost = client.finish()
        equal(lost, 0, 'answers lost of %d' % asked)
        true(after['ingress_runs'] > before['ingress_runs'], 'traffic went on meanwhile')
        now, (tx, rx) = shown('echo2'), packets('echo2')
        equal(now['egress_runs'], tx, 'executions and frames sent')
        equal(now['ingress_runs'], rx, 'executions and frames received')
        equal(now['dropped_received'], {}, 'dropped')


@test
def nothing_passes_between_two_filters():
    with Server('mute', '10.99.7.3') as server:
        client = Client(work_dir('traffic3'), SHOUT, server.ip)
        ok(cli('filter', 'set', 'mute', filter_of('dropall')))
        before, (_, rx) = shown('mute'), packets('mute')
        for i in range(100):
            ok(cli('filter', 'set', 'mute', filter_of('dropall') if i % 2 else 'none'))
        client.finish()
        after, (_, rx_after) = shown('mute'), packets('mute')
        equal(rx_after, rx, 'frames that came through')
        true(after['ingress_runs'] > before['ingress_runs'], 'frames were judged meanwhile')


@test
def executions_are_packets():
    with Server('count', '10.99.7.4') as server:
        ok(cli('filter', 'set', 'count', filter_of('count')))
        before, (tx, rx) = shown('count'), packets('count')
        equal(before['counters'][:2], [0, 0], 'a new filter has counted nothing')
        client = Client(work_dir('traffic4'), ASK, server.ip, '300')
        asked, lost = client.finish()
        equal(lost, 0, 'lost')
        after, (tx_after, rx_after) = shown('count'), packets('count')
        equal(after['counters'][0], tx_after - tx, 'egress executions by the program, and frames')
        equal(after['counters'][1], rx_after - rx, 'ingress executions by the program, and frames')
        true(tx_after - tx >= asked, 'every answer was a frame')
        text = ok(cli('filter', 'stats', 'count')).out
        true(b'counter egress' in text and b'executions ingress' in text, text)
        text = ok(cli('filter', 'show', 'count')).out
        true(b'program egress (leat/egress)' in text and b'map     peers' in text, text)
        protocols = json.loads(ok(cli('bpf', 'map', '--json', 'count', 'protocols', 'list')).out)
        udp = next(e['value'] for e in protocols if e['key'] == '11000000')
        equal(int.from_bytes(bytes.fromhex(udp)[:8], 'little'), asked, 'UDP answers counted')


@test
def maps_are_read_and_written():
    with Server('group', '10.99.7.5', '--filter', filter_of('secgroup')) as server:
        client = [PYTHON, '-c', ASK.replace('settimeout(5)', 'settimeout(0.5)'), server.ip, '2', '/']
        r = leat(client)
        equal(r.out.split(b'\n')[-2], b'2 2', 'asked and lost without a rule (%s)' % r)
        ok(cli('bpf', 'map', 'group', 'rules', 'set', 'u32:0', '=', 'rule:pass,in,udp,any,7',
               'rule:pass,out,udp,any,any'))
        r = leat(client)
        equal(r.out.split(b'\n')[-2], b'2 0', 'asked and lost with rules (%s)' % r)
        value = ok(cli('bpf', 'map', 'group', 'rules', 'get', 'u32:0')).out.strip()
        equal(len(value), 2 * 48 * 64, 'digits of the rules')
        true(b'rules ' in ok(cli('bpf', 'map', 'group')).out, 'the list of maps')
        for args, why in ((('nope', 'list'), b'no such map'),
                          (('rules', 'get', 'u16:0'), b'another size'),
                          (('rules', 'get', 'u32:9'), b'No such file'),
                          (('rules', 'delete', 'u32:0'), b'Invalid'),
                          (('identity', 'set', 'u32:0', '=', '00'), b'who the instance is'),
                          (('rules', 'set', 'u32:0', '=', 'x'), b'not understood')):
            r = cli('bpf', 'map', 'group', *args)
            true(r.code == 1 and why in r.err, '%s: %s' % (args, r))
    r = cli('bpf', 'map', 'gone')
    true(r.code == 1 and r.err, 'no instance: %s' % r)
    equal(cli('bpf', 'map').code, 2, 'usage')


def entries(name, which):
    return json.loads(ok(cli('bpf', 'map', '--json', name, which, 'list')).out)


def number(hexed):
    return int.from_bytes(bytes.fromhex(hexed), 'little')


@test
def every_kind_of_map():
    kinds = os.path.join(BUILD, 'tests', 'bpf', 'kinds.bpf.o')
    ip = '10.99.7.7'
    with Server('kinds', '10.99.7.6', '--filter', kinds) as server:
        for args in (('hosts', 'set', 'ip:' + ip, '=', 'u64:0'),
                     ('networks', 'set', 'u32:24', 'ip:10.99.7.0', '=', 'u64:100'),
                     ('networks', 'set', 'u32:8', 'ip:10.0.0.0', '=', 'u64:0'),
                     ('by_index', 'create', 'u32:1'), ('by_host', 'create', 'ip:' + ip)):
            ok(cli('bpf', 'map', 'kinds', *args))
        r = leat([PYTHON, '-c', ASK, server.ip, '20', '/'], ['--ip', ip])
        equal(r.out.split(b'\n')[-2], b'20 0', 'asked and lost (%s)' % r)
        equal([number(e['value']) for e in entries('kinds', 'hosts')], [20], 'hash')
        equal([number(e['value']) for e in entries('kinds', 'recent')], [20], 'LRU hash')
        equal(sorted(number(e['value']) for e in entries('kinds', 'networks')), [0, 120],
              'the longest prefix')
        copies = [number(v) for v in entries('kinds', 'cores')[0]['values']]
        equal((sum(copies), len(copies)), (20, os.cpu_count()), 'all threads together')
        equal(entries('kinds', 'by_index'), [{'key': '01000000', 'value': 'map'}], 'array of maps')
        equal([number(e['value']) for e in entries('kinds', 'by_index@u32:1')], [20, 0], 'in it')
        equal([number(e['value']) for e in entries('kinds', 'by_host@ip:' + ip)], [0, 20],
              'in a hash of maps')
        taken = json.loads(ok(cli('bpf', 'map', '--json', 'kinds', 'lengths', 'take')).out)
        equal((len(taken['records']), taken['lost']), (20, 0), 'records')
        true(all(number(r) >= 14 + 28 + 1 for r in taken['records']), taken)
        equal(ok(cli('bpf', 'map', 'kinds', 'lengths', 'take')).out, b'', 'they are taken')
        ok(cli('bpf', 'map', 'kinds', 'by_index@u32:1', 'set', 'u32:0', '=', 'u64:7'))
        equal(ok(cli('bpf', 'map', 'kinds', 'by_index@u32:1', 'get', 'u32:0')).out.strip(),
              b'0700000000000000', 'read back')
        ok(cli('bpf', 'map', 'kinds', 'by_index', 'remove', 'u32:1'))
        for args, why in ((('by_index@u32:1', 'list'), b'no map at this key'),
                          (('by_host', 'create', 'ip:' + ip), b'File exists'),
                          (('hosts', 'take'), b'Invalid'),
                          (('hosts', 'create', 'u32:1'), b'Invalid')):
            r = cli('bpf', 'map', 'kinds', *args)
            true(r.code == 1 and why in r.err, '%s: %s' % (args, r))


class SigningLeatd:
    """A leatd of its own that takes signed filters only."""

    def __init__(self, folder, key):
        self.env = dict(ENV, LEAT_STATE_DIR=os.path.join(folder, 'state'),
                        LEAT_NETNS=ENV['LEAT_NETNS'] + 's')
        os.mkdir(self.env['LEAT_STATE_DIR'], 0o700)
        self.proc = subprocess.Popen([os.path.join(BUILD, 'apps', 'leatd'), '--require-signed', key],
                                     env=self.env, stderr=subprocess.DEVNULL)

    def __enter__(self):
        # not by asking: the CLI starts a leatd where there is none yet
        until(lambda: os.path.exists(os.path.join(self.env['LEAT_STATE_DIR'], 'leatd.sock')),
              'leatd is there', 60)
        ok(cli('ps', env=self.env))
        return self

    def run(self, *opts):
        return execute([LEAT, 'run', *opts, '--', '/bin/echo', 'hi'], env=self.env)

    def __exit__(self, *_):
        self.proc.terminate()
        self.proc.wait(30)
        subprocess.run(['ip', 'netns', 'del', self.env['LEAT_NETNS']], stderr=subprocess.DEVNULL,
                       check=False)


def copy_of(name, folder):
    with open(filter_of(name), 'rb') as f:
        return write_file(os.path.join(folder, name + '.bpf.o'), f.read())


@test
def signatures():
    need('openssl')
    folder = work_dir('signed')
    key, pub = os.path.join(folder, 'key.pem'), os.path.join(folder, 'key.pub')
    other = os.path.join(folder, 'other.pem')
    for name in key, other:
        ok(execute(['openssl', 'genpkey', '-algorithm', 'ed25519', '-out', name]))
    ok(execute(['openssl', 'pkey', '-in', key, '-pubout', '-out', pub]))
    good, bad = copy_of('count', folder), copy_of('passall', folder)
    with SigningLeatd(folder, pub) as leatd:
        ok(leatd.run(), 'hi\n')  # the default is a part of the installation
        r = leatd.run('--filter', good)
        true(r.code == 125 and b'not signed' in r.err, 'unsigned: %s' % r)
        ok(cli('bpf', 'sign', '--key', key, good))
        # by OpenSSL's own command it is a signature too
        ok(execute(['openssl', 'pkeyutl', '-verify', '-pubin', '-inkey', pub, '-rawin', '-in', good,
                    '-sigfile', good + '.sig']))
        ok(leatd.run('--filter', good), 'hi\n')
        ok(leatd.run('--filter', good), 'hi\n')  # proved before
        ok(cli('bpf', 'sign', '--key', other, bad))
        r = leatd.run('--filter', bad)
        true(r.code == 125 and b'by the key' in r.err, 'signed by somebody else: %s' % r)
        ok(execute(['openssl', 'pkeyutl', '-sign', '-inkey', key, '-rawin', '-in', bad, '-out',
                    bad + '.sig']))
        ok(leatd.run('--filter', bad), 'hi\n')
        with open(bad, 'ab') as f:
            f.write(b'\0')
        r = leatd.run('--filter', bad)
        true(r.code == 125 and b'by the key' in r.err, 'changed: %s' % r)
        write_file(bad + '.sig', b'short')
        r = leatd.run('--filter', bad)
        true(r.code == 125 and b'64 bytes' in r.err, 'no signature: %s' % r)
        ok(execute([LEAT, 'run', '-d', '--name', 'live', '--', '/bin/sleep', '100'], env=leatd.env))
        ok(execute([LEAT, 'filter', 'set', 'live', good], env=leatd.env))
        r = execute([LEAT, 'filter', 'set', 'live', bad], env=leatd.env)
        true(r.code == 125 and b'64 bytes' in r.err, 'live: %s' % r)
        show = json.loads(execute([LEAT, 'filter', 'show', 'live', '--json'], env=leatd.env).out)
        true(show['signed'], 'the one that was set stays: %s' % show)
        ok(execute([LEAT, 'rm', '-f', 'live'], env=leatd.env))
    for name in bad, '/no/such/key', key:
        r = execute([os.path.join(BUILD, 'apps', 'leatd'), '--require-signed', name,
                     '--state-dir', os.path.join(folder, 'state')])
        equal(r.code, 125, 'leatd with the key ' + name)
    equal(cli('bpf', 'sign', good).code, 2, 'sign without a key')
    equal(cli('bpf', 'sign', '--key', pub, good).code, 1, 'sign with a public key')


main()
