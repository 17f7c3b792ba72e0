#!/usr/bin/python3
"""Instances on the network: published ports, instance to instance, real servers and clients."""
import hashlib
import json
import os
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..'))
from leat_test import (NATIVE, Failed, cli, equal, execute, leat, main, need, ok, test, true,
                       until, work_dir, write_file)  # noqa: E402

if NATIVE:
    print('1..0 # SKIP a network of instances has no native form')
    sys.exit(0)


def free_port():
    s = socket.socket()
    s.bind(('127.0.0.1', 0))
    port = s.getsockname()[1]
    s.close()
    return port


def address(name):
    info = json.loads(cli('inspect', name, '--json').out)
    if isinstance(info, list):
        info = info[0]
    for key in ('ip', 'address', 'addr'):
        if key in info:
            return info[key].split('/')[0]
    raise Failed('no address in ' + json.dumps(info))


class Server:
    """An instance in the background; stopped and removed at the end of a with block."""

    def __init__(self, name, argv, *opts):
        self.name = name
        ok(cli('run', '-d', '--name', name, *opts, '--', *argv))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        cli('kill', self.name)
        until(lambda: cli('rm', self.name).code == 0, 'leat rm ' + self.name, timeout=5)

    @property
    def ip(self):
        return address(self.name)


def answers(argv, out=None):
    """Waits until a client's command succeeds: the server behind a published port is up."""
    until(lambda: (lambda r: r.code == 0 and (out is None or r.out == out))(execute(argv)),
          ' '.join(argv))


REDIS = ['/usr/bin/redis-server', '--save', '', '--protected-mode', 'no']


@test
def redis_through_a_published_port():
    need('redis-server', 'redis-cli')
    port = free_port()
    with Server('r1', REDIS, '-p', '127.0.0.1:%d:6379' % port):
        redis = ['redis-cli', '-p', str(port)]
        answers(redis + ['ping'], b'PONG\n')
        ok(execute(redis + ['set', 'k', 'v']), 'OK\n')
        ok(execute(redis + ['get', 'k']), 'v\n')
        big = 'x' * 500000
        ok(execute(redis + ['-x', 'set', 'big'], stdin=big.encode()), 'OK\n')
        equal(len(execute(redis + ['get', 'big']).out), 500001, 'bytes of the large value')
        ok(execute(redis + ['incrby', 'n', '41']), '41\n')


@test
def a_server_that_forks_for_each_request():
    """Processes come and go with their vcpus while frames arrive."""
    need('busybox', 'curl')
    folder, port = work_dir('www'), free_port()
    os.mkdir(folder + '/cgi-bin')
    write_file(folder + '/cgi-bin/t', '#!/bin/sh\necho "Content-type: text/plain"\necho\necho cgi\n',
               0o755)
    os.chmod(folder + '/cgi-bin', 0o755)
    with Server('forks', ['/bin/busybox', 'httpd', '-f', '-h', '/www'],
                '-p', '127.0.0.1:%d:80' % port, '-v', folder + ':/www:ro') as s:
        url = 'http://127.0.0.1:%d/cgi-bin/t' % port
        answers(['curl', '-s', url], b'cgi\n')
        for _ in range(40):
            ok(execute(['curl', '-s', '--max-time', '20', url]), 'cgi\n')
        loop = 'for i in 1 2 3 4 5 6 7 8 9 10; do curl -s --max-time 20 http://%s/cgi-bin/t; done'
        ok(leat(['/bin/sh', '-c', loop % s.ip], timeout=120), 'cgi\n' * 10)


@test
def redis_between_two_instances():
    need('redis-server', 'redis-benchmark')
    with Server('r2', REDIS) as r:
        ip = r.ip
        until(lambda: leat(['/usr/bin/redis-cli', '-h', ip, 'ping']).out == b'PONG\n', 'PONG')
        got = ok(leat(['/usr/bin/redis-benchmark', '-h', ip, '-c', '50', '-n', '20000', '-t',
                       'get,set', '-q'], timeout=60))
        equal(got.text.count('requests per second'), 2, 'results of redis-benchmark')


@test
def redis_pipelined():
    need('redis-server', 'redis-benchmark')
    with Server('r3', REDIS) as r:
        ip = r.ip
        until(lambda: leat(['/usr/bin/redis-cli', '-h', ip, 'ping']).out == b'PONG\n', 'PONG')
        ok(leat(['/usr/bin/redis-benchmark', '-h', ip, '-c', '10', '-P', '16', '-n', '50000', '-d',
                 '1000', '-t', 'get,set', '-q'], timeout=60))


@test
def netcat_between_instances():
    need('nc')
    payload = work_dir('nc')
    f = write_file(os.path.join(payload, 'data'), os.urandom(2000000))
    with Server('n1', ['/bin/sh', '-c', 'nc -l -p 5000 | sha256sum']) as n:
        ip = n.ip
        time.sleep(0.5)
        ok(leat(['/bin/sh', '-c', 'nc -N %s 5000 < %s' % (ip, f)]))
        want = execute(['sha256sum'], stdin=open(f, 'rb').read()).out
        until(lambda: cli('logs', 'n1').out.strip() != b'', 'the sum in the log')
        equal(cli('logs', 'n1').out, want, 'sum of what arrived')


@test
def http_through_a_published_port():
    need('curl')
    port = free_port()
    d = work_dir('www')
    data = os.urandom(3000000)
    write_file(os.path.join(d, 'file'), data)
    with Server('w1', ['/usr/bin/python3', '-m', 'http.server', '8000', '--directory', d], '-p',
                '127.0.0.1:%d:8000' % port):
        url = 'http://127.0.0.1:%d/' % port
        answers(['curl', '-s', '-o', '/dev/null', url])
        equal(execute(['curl', '-s', url + 'file']).out, data, 'the file')
        ok(execute(['curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', url + 'none']), '404')
        for _ in range(20):
            ok(execute(['curl', '-s', '-o', '/dev/null', url]))


@test
def upload_through_a_published_port():
    port = free_port()
    code = ('import socket,hashlib\nl=socket.create_server(("",7000))\nc,_=l.accept()\n'
            'h=hashlib.sha256()\nwhile True:\n  d=c.recv(65536)\n  if not d: break\n  h.update(d)\n'
            'c.sendall(h.hexdigest().encode()); c.close()')
    with Server('u1', ['/usr/bin/python3', '-c', code], '-p', '127.0.0.1:%d:7000' % port):
        time.sleep(1)
        data = os.urandom(4000000)
        s = socket.create_connection(('127.0.0.1', port), 10)
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        s.settimeout(20)
        got = b''
        while True:
            d = s.recv(1000)
            if not d:
                break
            got += d
        equal(got.decode(), hashlib.sha256(data).hexdigest(), 'hash of the upload')


@test
def udp_between_instances():
    code = ('import socket\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\ns.bind(("",5353))\n'
            'while True:\n  d,a=s.recvfrom(65536)\n  s.sendto(d.upper(),a)')
    with Server('d1', ['/usr/bin/python3', '-c', code]) as d:
        ip = d.ip
        time.sleep(0.7)
        client = ('import socket\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n'
                  's.settimeout(5)\nfor i in range(50):\n  s.sendto(b"packet %%d" %% i,("%s",5353))\n'
                  '  assert s.recv(2000)==b"PACKET %%d" %% i\ns.sendto(b"x"*8000,("%s",5353))\n'
                  'print(len(s.recv(9000)))' % (ip, ip))
        ok(leat(['/usr/bin/python3', '-c', client]), '8000\n')


@test
def nobody_listens():
    with Server('q1', ['/bin/sleep', '100']) as q:
        code = ('import socket\ntry: socket.create_connection(("%s",81),5)\n'
                'except OSError as e: print(type(e).__name__)' % q.ip)
        ok(leat(['/usr/bin/python3', '-c', code]), 'ConnectionRefusedError\n')


@test
def loopback_stays_inside():
    with Server('l1', ['/usr/bin/python3', '-m', 'http.server', '8000', '--bind', '127.0.0.1']):
        time.sleep(0.7)
        code = ('import socket\ntry: socket.create_connection(("127.0.0.1",8000),2)\n'
                'except OSError as e: print(type(e).__name__)')
        ok(leat(['/usr/bin/python3', '-c', code]), 'ConnectionRefusedError\n')


@test
def fixed_address():
    with Server('f1', ['/bin/sleep', '100'], '--ip', '10.99.7.7') as f:
        equal(f.ip, '10.99.7.7', 'address')


def address6(name):
    return next(i['ip6'] for i in json.loads(cli('ps', '--json').out) if i['name'] == name)


ECHO6 = ('import socket,threading\n'
         'u=socket.socket(socket.AF_INET6,socket.SOCK_DGRAM)\nu.bind(("::",5353))\n'
         't=socket.socket(socket.AF_INET6)\nt.bind(("::",5353))\nt.listen()\n'
         'def udp():\n  while True:\n    d,a=u.recvfrom(65536)\n    u.sendto(d.upper(),a)\n'
         'threading.Thread(target=udp,daemon=True).start()\nprint("up",flush=True)\n'
         'while True:\n  c,a=t.accept()\n  c.sendall(a[0].encode())\n  c.close()')


@test
def ip6_between_instances():
    with Server('s1', ['/usr/bin/python3', '-c', ECHO6]):
        ip = address6('s1')
        true(ip.startswith('fd6c:6561:'), 'a global address: ' + ip)
        until(lambda: b'up' in cli('logs', 's1').out, 'the server')
        # TCP with the own global address as its source, UDP whole and in fragments
        client = ('import socket\nt=socket.create_connection(("%s",5353),5)\n'
                  'print(t.recv(100).decode()==t.getsockname()[0])\n'
                  's=socket.socket(socket.AF_INET6,socket.SOCK_DGRAM)\ns.settimeout(5)\n'
                  's.connect(("%s",5353))\ns.send(b"small")\nprint(s.recv(100))\n'
                  's.send(b"x"*8000)\nprint(len(s.recv(9000)))' % (ip, ip))
        ok(leat(['/usr/bin/python3', '-c', client]), "True\nb'SMALL'\n8000\n")


@test
def fixed_address6():
    with Server('f6', ['/bin/sleep', '100']):
        prefix = address6('f6').rsplit(':', 2)[0]
    with Server('f7', ['/bin/sleep', '100'], '--ip', prefix + ':a63:708') as f:
        equal(f.ip, '10.99.7.8', 'the IPv4 address that goes with it')
        equal(address6('f7'), prefix + ':a63:708', 'address')
    r = cli('run', '--ip', 'fd00::1', '--', '/bin/true')
    true(r.code != 0 and b'prefix' in r.err, 'an address of nobody is refused')


@test
def ping_between_instances():
    need('/usr/bin/ping')
    with Server('p1', ['/bin/sleep', '100']) as p:
        for target in (p.ip, address6('p1'), '127.0.0.1', '::1'):
            r = ok(leat(['/usr/bin/ping', '-c', '2', '-i', '0.2', target]))
            true('2 received' in r.text, 'answers from %s: %s' % (target, r.text))


@test
def iproute2_tells_the_truth():
    r = ok(leat(['/usr/sbin/ip', '-o', 'addr']))
    for part in ('1: lo', '127.0.0.1/8', '::1/128', '2: eth0', '10.99.', 'fd6c:6561:', 'fe80::'):
        true(part in r.text, '%s in %s' % (part, r.text))
    r = ok(leat(['/usr/sbin/ip', '-o', 'link']))
    true('eth0' in r.text and 'mtu 1500' in r.text and 'link/ether 02:' in r.text, r.text)
    r = ok(leat(['/usr/sbin/ip', 'route']))
    true('default via 10.99.0.1 dev eth0' in r.text and '10.99.0.0/16 dev eth0' in r.text, r.text)
    r = ok(leat(['/usr/sbin/ip', '-6', 'route']))
    true('fe80::/64 dev eth0' in r.text and 'fd6c:6561:' in r.text, r.text)
    # what cannot be done is said
    r = leat(['/usr/sbin/ip', 'link', 'set', 'eth0', 'down'])
    true(r.code != 0, 'the interface is not the program\'s to change')
    code = ('import socket,subprocess\ns=socket.socket()\ns.bind(("0.0.0.0",8080))\ns.listen()\n'
            'c=socket.create_connection(("127.0.0.1",8080))\n'
            'print(subprocess.run(["/usr/bin/ss","-tan"],capture_output=True,text=True).stdout)')
    r = ok(leat(['/usr/bin/python3', '-c', code]))
    true('LISTEN' in r.text and '0.0.0.0:8080' in r.text, r.text)
    true('ESTAB' in r.text and '127.0.0.1:8080' in r.text, r.text)


@test
def interface_is_visible():
    r = ok(leat(['/usr/bin/python3', '-c', 'import socket; s=socket.socket(socket.AF_INET,'
                 'socket.SOCK_DGRAM); s.connect(("10.99.0.1",9)); print(s.getsockname()[0])']))
    true(r.text.startswith('10.99.'), 'own address is ' + r.text.strip())


if __name__ == '__main__':
    main()
