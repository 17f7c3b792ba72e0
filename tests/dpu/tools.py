#!/usr/bin/python3
"""What an operator looks with: leat stats, leat top, leat capture."""
import json
import os
import re
import signal
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..'))
from leat_test import (BUILD, ENV, LEAT, NATIVE, STATE, WORK, Terminal, cli, equal, execute,
                       leat, main, need, ok, popen, test, true, until)  # noqa: E402

NET = os.path.join(BUILD, 'apps', 'bench-net')
IP, CLIENT = '10.99.8.8', '10.99.8.9'
PORT = 9100
ENV['TERM'] = 'xterm'

if NATIVE:
    print('1..0 # SKIP tools for instances have no native form')
    sys.exit(0)


class Server:
    def __enter__(self):
        ok(cli('run', '-d', '--name', 'server', '--ip', IP, '--', NET, 'server', str(PORT)))
        until(lambda: b'ready' in cli('logs', 'server').out, 'the server')

    def __exit__(self, *exc):
        cli('kill', 'server')
        until(lambda: cli('rm', 'server').code == 0, 'rm')


def connects(n):
    ok(leat([NET, 'connect', IP, str(PORT), '1', str(n)], ['--ip', CLIENT]))


def stats():
    return json.loads(ok(cli('stats', '--json')).out)


@test
def counters():
    with Server():
        connects(5)
        all_ = stats()
        equal(sorted(all_), ['cores', 'instances', 'now_ns', 'uplink'], 'members')
        true(len(all_['cores']) > 0, 'there are cores')
        inst, = [i for i in all_['instances'] if i['name'] == 'server']
        true(inst['tx_packets'] >= 5 * 3 and inst['rx_packets'] >= 5 * 3, 'packets are counted')
        equal(inst['tenant'], 'default', 'tenant')
        true('rx_full' in inst['drops_received'], 'drops have reasons')
        true('server' in ok(cli('stats')).text, 'the table has it')


def stats_after(number):
    """A page of the protocol: what comes after the instance with that number."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.connect(os.path.join(STATE, 'leatd.sock'))
        s.send(json.dumps({'op': 'stats', 'after': number}).encode())
        return json.loads(s.recv(1 << 20))['instances']


@test
def many_instances_come_in_pages():
    names = ['p%d' % i for i in range(4)]
    for n in names:
        ok(cli('run', '-d', '--name', n, '--', '/bin/sleep', '100'))
    listed = stats()['instances']
    equal([i['name'] for i in listed], names, 'oldest first')
    equal([i['name'] for i in stats_after(listed[1]['id'])], names[2:], 'the rest')
    equal(stats_after(listed[3]['id']), [], 'nothing behind the last')
    for n in names:
        cli('kill', n)
        until(lambda n=n: cli('rm', n).code == 0, 'rm')
    equal(stats()['instances'], [], 'none is left')


@test
def prometheus_format():
    with Server():
        connects(1)
        text = ok(cli('stats', '--prometheus')).text
        line = re.compile(r'^(# (HELP|TYPE) .*|[a-z_]+(\{([a-z]+="[^"\\]*",?)+\})? \d+)$')
        for t in text.strip().split('\n'):
            true(line.match(t), 'a line of the format: %r' % t)
        found = re.search(r'^leat_tx_packets_total\{instance="server",tenant="default"\} (\d+)$',
                          text, re.M)
        true(found and int(found.group(1)) > 0, 'the counter')
        for t in ('limit', 'rx_full', 'egress_filter'):
            true('reason="%s"' % t in text, 'a counter for the reason ' + t)


@test
def top_on_a_terminal():
    with Server():
        term = Terminal([LEAT, 'top'], rows=30, cols=120)
        try:
            term.expect(b'server')
            term.write(b'n')  # by name, so that the next one comes below
            ok(cli('run', '-d', '--name', 'zzz', '--', '/bin/sleep', '100'))
            term.expect(b'zzz')
            term.write(b'q')
            equal(term.wait(), 0, 'exit code')
        finally:
            term.close()
            cli('rm', '-f', 'zzz')


@test
def top_in_lines():
    with Server():
        p = popen([LEAT, 'top', '-b', '-n', '2'])
        connects(20)
        out = p.communicate(timeout=30)[0].decode()
        equal(p.returncode, 0, 'exit code')
        rows = [r.split() for r in out.split('\n') if r.startswith('server')]
        equal(len(rows), 2, 'looks')


def fields(path, *names):
    """Rows of a capture as tshark sees them; it must find nothing wrong with the file."""
    argv = ['tshark', '-n', '-r', path, '-T', 'fields'] + [x for n in names for x in ('-e', n)]
    r = ok(execute(argv))
    return [tuple(row.split('\t')) for row in r.text.rstrip('\n').split('\n') if row]


class Capture:
    def __init__(self, *args):
        self.path = os.path.join(WORK, 'c.pcapng')
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.proc = popen([LEAT, 'capture', '-w', self.path, *args, 'server'])
        until(lambda: os.path.exists(self.path) and os.path.getsize(self.path) > 0, 'a capture')

    def end(self, sig=signal.SIGINT):
        """(captured, dropped)"""
        self.proc.send_signal(sig)
        return self.wait()

    def wait(self):
        err = self.proc.communicate(timeout=30)[1].decode()
        equal(self.proc.returncode, 0, 'exit code: ' + err)
        return tuple(map(int, re.match(r'(\d+) packets captured, (\d+) dropped', err).groups()))


@test
def capture_opens_in_tshark():
    need('tshark')
    with Server():
        c = Capture()
        connects(3)
        captured, dropped = c.end()
        equal(dropped, 0, 'dropped')
        rows = fields(c.path, 'frame.packet_flags_direction', 'ip.src', 'ip.dst',
                      'tcp.flags.syn', 'tcp.flags.ack', 'frame.interface_name', 'tcp.payload', 'tcp.srcport', 'tcp.dstport')
        equal(len(rows), captured, 'packets')
        ip = [r for r in rows if r[1]]
        for direction, src, dst, *_ in ip:
            equal((int(direction, 0), src, dst),
                  (1, CLIENT, IP) if src == CLIENT else (2, IP, CLIENT), 'direction and addresses')
        # by ports: a busy machine may send one again
        true_ = ('1', 'True')
        equal(len({r[7:] for r in ip if r[3] in true_ and r[4] not in true_}), 3, 'SYNs')
        equal(len({r[7:] for r in ip if r[3] in true_ and r[4] in true_}), 3, 'SYN+ACKs')
        equal({r[5] for r in rows}, {'server'}, 'interface')
        equal(len({r[7:] for r in ip if r[6] == '78'}), 6, 'bytes to and fro')


@test
def capture_of_so_many_and_of_so_much():
    need('tshark')
    with Server():
        c = Capture('-c', '4', '-s', '60')
        connects(3)
        equal(c.wait(), (4, 0), 'captured')
        rows = fields(c.path, 'frame.cap_len', 'frame.len')
        equal(len(rows), 4, 'packets')
        true(all(int(a) <= 60 <= max(60, int(b)) for a, b in rows), 'lengths')


@test
def capture_ends_with_the_instance():
    need('tshark')
    with Server():
        c = Capture()
        connects(1)
        r = cli('capture', '-w', '/dev/null', 'server')
        true(r.code == 125 and b'already' in r.err, 'one at a time')
    captured, _ = c.wait()
    true(captured > 0 and len(fields(c.path, 'frame.number')) == captured, 'all is there')
    equal(cli('capture', '-w', '/dev/null', 'server').code, 125, 'no such instance')


main()
