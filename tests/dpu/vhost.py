#!/usr/bin/python3
"""Ports of vhost-user frontends: DPDK's virtio-user driver as a peer, and frontends that lie."""
import array
import json
import mmap
import os
import select
import signal
import socket
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..'))
from leat_test import (ENV, NATIVE, WORK, Failed, cli, equal, leat, main, need, ok, test,  # noqa: E402
                       true, until)

IP = '10.99.5.5'

if NATIVE:
    print('1..0 # SKIP ports have no native form')
    sys.exit(0)


def ports():
    return {p['name']: p for p in json.loads(ok(cli('port', 'ls', '--json')).out)}


class Port:
    def __init__(self, *opts, name='peer', ip=IP):
        self.name, self.opts = name, ('--name', name, '--ip', ip) + opts
        self.path = os.path.join(WORK, name + '.sock')

    def __enter__(self):
        line = ok(cli('port', 'add', '--vhost-user', self.path, *self.opts)).text.split()
        self.ip, self.mac = line[1], line[2]
        return self

    def __exit__(self, *exc):
        ok(cli('port', 'rm', self.name))
        true(not os.path.exists(self.path), 'the socket is gone')

    def info(self):
        return ports()[self.name]


class Testpmd:
    """dpdk-testpmd with a virtio-user device on each of the ports."""

    def __init__(self, mode, *on, options='', args=()):
        need('dpdk-testpmd')
        devices = ['--vdev=net_virtio_user%d,path=%s,mac=%s%s' % (i, p.path, p.mac, options)
                   for i, p in enumerate(on)]
        self.on = on
        self.argv = ['dpdk-testpmd', '--lcores', '0@0,1@(0,1)', '--no-huge', '-m', '128',
                     '--no-pci', '--no-shconf', '--no-telemetry', *devices, '--',
                     '--total-num-mbufs=4096', '--forward-mode=' + mode, '--auto-start',
                     '--stats-period=1000', *args]

    def __enter__(self):
        self.log = open(os.path.join(WORK, 'testpmd.log'), 'wb')
        self.proc = subprocess.Popen(self.argv, env=ENV, stdin=subprocess.DEVNULL,
                                     stdout=self.log, stderr=self.log)
        until(lambda: all(p.info()['connected'] and self.working(p) for p in self.on), 'testpmd')
        return self

    def working(self, port):
        if self.proc.poll() is not None:
            with open(self.log.name) as f:
                raise Failed('testpmd ended: ' + f.read()[-800:])
        return all(q['tx_state'] == 'none' for q in port.info()['queues'])

    def __exit__(self, *exc):
        self.proc.send_signal(signal.SIGINT)
        self.proc.wait(20)
        self.log.close()


ECHO = '''
import hashlib, socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(2)
for i, n in enumerate([1, 17, 18, 100, 255, 256, 600, 1000, 1471, 1472] * 5):
    data = (hashlib.sha256(b'%d' % i).digest() * 64)[:n]
    for attempt in range(5):
        s.sendto(data, (sys.argv[1], 7))
        try:
            if s.recv(2000) == data: break
        except socket.timeout: pass
    else: sys.exit('no answer to datagram %d of %d bytes' % (i, n))
print('echoed')
'''


def echo(options):
    """Datagrams of all lengths to DPDK's driver, which swaps addresses and sends them back."""
    with Port() as port, Testpmd('5tswap', port, options=options):
        ok(leat(['/usr/bin/python3', '-c', ECHO, port.ip], timeout=60), 'echoed\n')
        info = port.info()
        true(info['queues'][0]['rx_packets'] >= 50, 'packets: %s' % info)
        equal(info['packets']['egress_runs'], info['queues'][0]['tx_packets'], 'filter runs')


@test
def virtio_user_split():
    echo(',packed_vq=0')


@test
def virtio_user_packed():
    echo(',packed_vq=1')


@test
def virtio_user_plain():
    """Neither mergeable buffers nor in order."""
    echo(',packed_vq=0,mrg_rxbuf=0,in_order=0,queue_size=64')


@test
def virtio_user_packed_plain():
    echo(',packed_vq=1,mrg_rxbuf=0,in_order=0,queue_size=64')


@test
def ping_by_name_within_the_tenant():
    with Port('--tenant', 'blue') as port, Testpmd('icmpecho', port):
        ok(leat(['/bin/ping', '-c', '1', '-w', '20', '-4', 'peer'], ('--tenant', 'blue'), timeout=60))
        r = leat(['/bin/ping', '-c', '1', '-W', '1', port.ip], ('--tenant', 'red'), timeout=60)
        equal(r.code, 1, 'not from another tenant')


@test
def tcp_without_offloads():
    """A receiver that takes neither unfinished sums nor long frames gets finished, short ones."""
    with Port(name='a', ip='10.99.5.6') as a, Testpmd('rxonly', a):
        # long enough for a second SYN: testpmd may not have given buffers at the first one
        code = ('import socket\ns = socket.socket()\ns.settimeout(3)\n'
                'try: s.connect(("10.99.5.6", 80))\nexcept OSError as e: print(type(e).__name__)')
        ok(leat(['/usr/bin/python3', '-c', code], timeout=60), 'TimeoutError\n')
        dropped = a.info()['packets']['dropped_received']
        true(not set(dropped) - {'rx_full'}, 'SYNs are not dropped for their sums: %s' % dropped)
        true(a.info()['queues'][0]['rx_packets'] >= 1, 'and arrive')


@test
def usage():
    for args in ((), ('add',), ('add', '--vhost-user'), ('add', '--queues', '0'), ('ls', 'x'),
                 ('rm',), ('rm', 'nobody'), ('what',),
                 ('add', '--vhost-user', '/nowhere/at/all.sock'),
                 ('add', '--vhost-user', 'x' * 200)):
        equal(cli('port', *args).code, 125, 'leat port %s' % (args,))
    with Port() as port:
        equal(cli('port', 'add', '--vhost-user', port.path).code, 125, 'the path is taken')
        r = cli('port', 'add', '--vhost-user', port.path + '2', '--name', 'peer')
        equal(r.code, 125, 'the name is taken')
        true(not os.path.exists(port.path + '2'), 'nothing is left behind')


# ---- frontends that lie ----

GET_FEATURES, SET_FEATURES, SET_OWNER, SET_MEM_TABLE = 1, 2, 3, 5
NUM, ADDR, BASE, GET_BASE, KICK, CALL, ENABLE = 8, 9, 10, 11, 12, 13, 18
SET_PROTOCOL = 16
VERSION_1, GUEST_CSUM, PACKED, PROTOCOL = 1 << 32, 1 << 1, 1 << 34, 1 << 30
MEMORY = 1 << 20
USER = 0x7000000000  # where the memory would be in the frontend's own address space


class Frontend:
    def __init__(self, port):
        self.port = port
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(port.path)
        self.sock.settimeout(5)
        self.fd = os.memfd_create('guest')
        os.ftruncate(self.fd, MEMORY)
        self.memory = mmap.mmap(self.fd, MEMORY)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sock.close()
        until(lambda: not self.port.info()['connected'], 'the end of the connection')
        os.close(self.fd)

    def raw(self, data, fds=()):
        try:
            self.sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                        array.array('i', fds))] if fds else [])
        except OSError:
            pass  # thrown out already

    def send(self, request, payload=b'', fds=(), flags=1):
        self.raw(struct.pack('<III', request, flags, len(payload)) + payload, fds)

    def ask(self, request, payload=b''):
        self.send(request, payload)
        return self.sock.recv(400)[12:]

    def gone(self):
        """leatd has ended the connection."""
        if not select.select([self.sock], [], [], 5)[0]:
            return False
        try:
            return self.sock.recv(400) == b''
        except ConnectionError:
            return True

    def features(self, features=VERSION_1 | GUEST_CSUM):
        self.send(SET_OWNER)
        self.send(SET_FEATURES, struct.pack('<Q', features))

    def table(self, guest=0, size=MEMORY, user=USER, offset=0, nr=1, fd=None):
        region = struct.pack('<QQQQ', guest, size, user, offset)
        self.send(SET_MEM_TABLE, struct.pack('<II', nr, 0) + region * min(nr, 8),
                  [self.fd if fd is None else fd] * min(nr, 8))

    def ring(self, index, size=64, desc=0, avail=4096, used=8192, kick=None):
        at = USER + index * 65536
        self.send(NUM, struct.pack('<II', index, size))
        self.send(BASE, struct.pack('<II', index, 0))
        self.send(ADDR, struct.pack('<IIQQQQ', index, 0, at + desc, at + used, at + avail, 0))
        event = os.eventfd(0) if kick is None else kick
        self.send(KICK, struct.pack('<Q', index), [event])
        if kick is None:
            os.close(event)

    def up(self):
        self.features()
        self.table()
        self.ring(0)
        self.ring(1)
        until(lambda: self.state() == 'none', 'the rings')

    def state(self):
        """Of the transmit queue, after leatd has done all that it was told."""
        self.ask(GET_FEATURES)
        return self.port.info()['queues'][0]['tx_state']

    def publish(self, address, length, flags=0):
        """A chain of one descriptor in the transmit ring."""
        at = 65536
        self.memory[at:at + 16] = struct.pack('<QIHH', address, length, flags, 0)
        self.memory[at + 4096:at + 4104] = struct.pack('<HHHH', 0, 1, 0, 0)


def thrown_out(port, *messages):
    with Frontend(port) as f:
        f.up()
        for send in messages:
            send(f)
        true(f.gone(), 'leatd ends the connection')


@test
def frontends_that_lie_are_thrown_out():
    with Port() as port:
        u64 = struct.Struct('<Q').pack
        null = os.open('/dev/null', os.O_RDWR)
        pipe = os.pipe()
        small = os.memfd_create('small')
        os.ftruncate(small, 4096)
        file = os.open(os.path.join('/usr/bin', 'env'), os.O_RDONLY)
        for what, lie in {
                'an unknown request': lambda f: f.send(99),
                'another version': lambda f: f.send(GET_FEATURES, flags=2),
                'an answer': lambda f: f.send(GET_FEATURES, flags=5),
                'a long payload': lambda f: f.raw(struct.pack('<III', 1, 1, 1 << 30)),
                'features that were not offered': lambda f: f.send(SET_FEATURES, u64(1 << 60)),
                'protocol features that were not': lambda f: f.send(SET_PROTOCOL, u64(1 << 60)),
                'no features': lambda f: f.send(SET_FEATURES),
                'no memory': lambda f: f.table(nr=0),
                'too many regions': lambda f: f.table(nr=9),
                'regions without descriptors': lambda f: f.send(
                    SET_MEM_TABLE, struct.pack('<IIQQQQ', 1, 0, 0, MEMORY, USER, 0)),
                'an empty region': lambda f: f.table(size=0),
                'more than the file has': lambda f: f.table(size=MEMORY + 4096),
                'a region that wraps': lambda f: f.table(offset=2 ** 64 - 4096),
                'addresses that wrap': lambda f: f.table(guest=2 ** 64 - 4096),
                'a small file': lambda f: f.table(fd=small),
                'a file of a disk': lambda f: f.table(fd=file, size=4096),
                'a device': lambda f: f.table(fd=null),
                'a pipe': lambda f: f.table(fd=pipe[0]),
                'a ring that is not there': lambda f: f.send(NUM, struct.pack('<II', 2, 64)),
                'one that is far away': lambda f: f.send(NUM, struct.pack('<II', 2 ** 31, 64)),
                'half a ring state': lambda f: f.send(NUM, b'\0' * 4),
                'half an address': lambda f: f.send(ADDR, b'\0' * 16),
                'a kick that is a pipe': lambda f: f.send(KICK, u64(0), [pipe[1]]),
                'a kick without one': lambda f: f.send(KICK, u64(0)),
                'two kicks': lambda f: f.send(KICK, u64(0), [pipe[0], pipe[1]]),
                'a call that is a device': lambda f: f.send(CALL, u64(0), [null]),
                'enabled twice as much': lambda f: f.send(ENABLE, struct.pack('<II', 0, 2)),
        }.items():
            try:
                thrown_out(port, lie)
            except Failed as e:
                raise Failed('%s: %s' % (what, e)) from None
        with Frontend(port) as f:  # and honest ones are let in
            f.up()
        for fd in (null, small, file, *pipe):
            os.close(fd)


@test
def rings_that_lie_stop():
    with Port() as port:
        for reason, arguments in {
                'bad_size': dict(size=63),
                'bad_layout': dict(desc=MEMORY),
        }.items():
            with Frontend(port) as f:
                f.up()
                f.ring(1, **arguments)
                equal(f.state(), reason, str(arguments))
        for reason, chain in {
                'out_of_window': (MEMORY - 10, 100),
                'empty_buffer': (0, 5),
                'bad_flags': (0, 100, 2),
        }.items():
            with Frontend(port) as f:
                f.up()
                f.publish(*chain)
                until(lambda: f.state() == reason, reason)
        with Frontend(port) as f:  # the next one starts anew
            f.up()


@test
def memory_that_shrinks():
    with Port() as port, Frontend(port) as f:
        f.up()
        f.publish(512 * 1024, 100)
        os.ftruncate(f.fd, 256 * 1024)
        f.memory[65536:65552] = struct.pack('<QIHH', 512 * 1024, 100, 0, 0)
        f.memory[65536 + 4096:65536 + 4100] = struct.pack('<HH', 0, 2)
        until(lambda: f.state() == 'memory_gone', 'the queue stops')
    ok(leat(['/bin/true']))


@test
def closing_at_any_point():
    """After every prefix of a connection's messages, and in the middle of one."""
    steps = [lambda f: f.features(), lambda f: f.table(), lambda f: f.ring(0),
             lambda f: f.ring(1), lambda f: f.publish(0, 100),
             lambda f: f.raw(struct.pack('<III', NUM, 1, 8) + b'\0' * 3)]
    with Port() as port:
        for n in range(len(steps) + 1):
            with Frontend(port) as f:
                for step in steps[:n]:
                    step(f)
        with Frontend(port) as f:
            f.up()
            equal(struct.unpack('<II', f.ask(GET_BASE, struct.pack('<II', 1, 0))), (1, 0), 'base')


@test
def one_at_a_time():
    with Port() as port, Frontend(port) as f:
        f.up()
        other = socket.socket(socket.AF_UNIX)
        other.connect(port.path)
        other.settimeout(5)
        equal(other.recv(1), b'', 'the second one is sent away')
        other.close()
        equal(f.state(), 'none', 'the first one goes on')


main()
