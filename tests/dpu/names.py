#!/usr/bin/python3
"""Names of instances, looked up by the resolvers of programs that Leat's authors did not write."""
import ipaddress
import json
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..'))
from leat_test import (BUILD, NATIVE, WORK, cli, equal, leat, main, need, ok, test, true,  # noqa: E402
                       until)

IP = '10.99.7.7'
BLUE = ('--tenant', 'blue')

if NATIVE:
    print('1..0 # SKIP names of instances have no native form')
    sys.exit(0)


class Named:
    def __init__(self, name, *opts):
        self.name, self.opts = name, opts

    def __enter__(self):
        ok(cli('run', '-d', '--name', self.name, *self.opts, '--',
               os.path.join(BUILD, 'apps', 'bench-net'), 'server', '9100'))
        until(lambda: b'ready' in cli('logs', self.name).out, 'the server')
        info = json.loads(ok(cli('inspect', self.name, '--json')).out)
        return info['ip'], str(ipaddress.ip_address(info['ip6']))

    def __exit__(self, *exc):
        cli('kill', self.name)
        until(lambda: cli('rm', self.name).code == 0, 'rm')


def looked_up(family, *names, opts=BLUE):
    """What Python's getaddrinfo (glibc's resolver) makes of names: an address or the error's."""
    program = ('import socket,sys\nfor n in sys.argv[1:]:\n'
               ' try: print(socket.getaddrinfo(n, 80, socket.%s)[0][4][0])\n'
               ' except OSError as e: print(type(e).__name__)' % family)
    return ok(leat(['/usr/bin/python3', '-c', program, *names], opts)).text.split()


@test
def python():
    with Named('server', *BLUE, '--ip', IP) as (ip, ip6):
        equal(ip, IP, 'address')
        names = ['server', 'SERVER.leat', 'nobody', 'server.example.org', 'leat']
        equal(looked_up('AF_INET', *names), [IP, IP] + ['gaierror'] * 3, 'IPv4')
        equal(looked_up('AF_INET6', *names), [ip6, ip6] + ['gaierror'] * 3, 'IPv6')


@test
def only_the_own_tenant():
    with Named('server', *BLUE):
        equal(looked_up('AF_INET', 'server', opts=()), ['gaierror'], 'from no tenant')
        equal(looked_up('AF_INET', 'server', opts=('--tenant', 'red')), ['gaierror'], 'from red')
    equal(looked_up('AF_INET', 'server'), ['gaierror'], 'after its end')


@test
def getent():
    with Named('a-1.web') as (ip, ip6):
        r = ok(leat(['/usr/bin/getent', 'ahostsv4', 'a-1.web']))
        equal(r.text.split()[0], ip, 'ahostsv4')
        r = ok(leat(['/usr/bin/getent', 'ahostsv6', 'A-1.WEB.leat']))
        equal(r.text.split()[0], ip6, 'ahostsv6')
        ok(leat(['/usr/bin/getent', 'hosts', 'a-2.web']), '', code=2)


@test
def node():
    """By getaddrinfo, and by c-ares, which asks the server itself."""
    need('node')
    program = '''
const dns = require('dns').promises;
(async () => {
  console.log((await dns.lookup('server', {family: 4})).address);
  console.log((await dns.resolve4('server.leat'))[0]);
  console.log((await dns.resolve6('server.leat'))[0]);
  for (const f of [() => dns.resolve4('nobody.leat'), () => dns.resolveMx('server.leat')])
    await f().catch(e => console.log(e.code));
})();'''
    with Named('server') as (ip, ip6):
        r = ok(leat(['/usr/bin/node', '-e', program], timeout=60))
        lines = r.text.split()
        lines[2] = str(ipaddress.ip_address(lines[2]))
        equal(lines, [ip, ip, ip6, 'ENOTFOUND', 'ENODATA'], 'node')


@test
def busybox():
    """Static, with a resolver of its own."""
    with Named('server') as (ip, ip6):
        r = leat(['/bin/busybox', 'nslookup', 'server'])
        true(ip.encode() in r.out, 'busybox finds it: %s' % r)


def dig(*args):
    """The answer's status, flags, records and EDNS version as dig reads them."""
    r = ok(leat(['/usr/bin/dig', '+tries=1', '+time=5', *args]))
    true('WARNING' not in r.text and 'malformed' not in r.text, 'a clean answer: %s' % r)
    return r.text


@test
def dig_reads_the_answers():
    need('dig')
    with Named('server') as (ip, ip6):
        text = dig('server.leat')
        true('status: NOERROR' in text and 'flags: qr aa rd ra' in text, text)
        true('EDNS: version: 0' in text and 'udp: 1232' in text, text)
        equal(dig('+short', 'server.leat').split(), [ip], 'A')
        equal(str(ipaddress.ip_address(dig('+short', 'server.leat', 'AAAA').strip())), ip6, 'AAAA')
        equal(dig('+short', '+noedns', 'SERVER.leat').split(), [ip], 'without EDNS')
        true('EDNS' not in dig('+noedns', 'server.leat'), 'no EDNS unasked')
        true('status: NXDOMAIN' in dig('nobody.leat'), 'no such name')
        text = dig('server.leat', 'TXT')
        true('status: NOERROR' in text and 'ANSWER: 0' in text, 'no such record: ' + text)
        true('status: BADVERS' in dig('+edns=1', '+noednsneg', 'server.leat'), 'EDNS version 1')
        true('status: REFUSED' in dig('-c', 'CH', 'version.bind', 'TXT'), 'class CHAOS')
        true('status: NOTIMP' in dig('+noedns', '+opcode=NOTIFY', 'server.leat'), 'another opcode')


def root_with(resolv_conf):
    """A root with nothing but busybox, the servers' folders that leat wants, and this file."""
    root = os.path.join(WORK, 'root')
    shutil.rmtree(root, ignore_errors=True)
    for folder in ('bin', 'etc', 'dev', 'proc', 'tmp'):
        os.makedirs(os.path.join(root, folder))
    shutil.copy('/bin/busybox', os.path.join(root, 'bin'))
    if resolv_conf is not None:
        with open(os.path.join(root, 'etc', 'resolv.conf'), 'w') as f:
            f.write(resolv_conf)
    return root


def resolv_conf_in(root, *opts):
    return ok(leat(['/bin/busybox', 'cat', '/etc/resolv.conf'], ['--rootfs', root, *opts])).text


@test
def resolv_conf_that_leads_nowhere():
    made = 'nameserver 10.99.255.254\nsearch leat\n'
    for text in (None, '', '# none\n', 'nameserver 127.0.0.53\noptions edns0\n',
                 'search x\nnameserver  fd00::53\nnameserver 192.0.2.1\n',
                 'nameserver 1922.0.2.1\n'):
        equal(resolv_conf_in(root_with(text)), made, repr(text))
    root = root_with('nameserver 127.0.0.53\n')
    ok(leat(['/bin/busybox', 'stat', '-c', '%a %u %F', '/etc/resolv.conf'],
            ['--rootfs', root, '--user', '1000:1000']), '644 0 regular file\n')
    ok(leat(['/bin/busybox', 'sh', '-c', 'echo mine >/etc/resolv.conf; cat /etc/resolv.conf'],
            ['--rootfs', root]), 'mine\n')


@test
def resolv_conf_of_the_root():
    for text in ('nameserver 192.0.2.53\n', '#nameserver 127.0.0.1\nnameserver\t10.0.0.1\n'):
        root = root_with(text)
        equal(resolv_conf_in(root), text, repr(text))
        with Named('server') as (ip, _):
            out = ok(leat(['/bin/busybox', 'nslookup', 'server.leat'], ['--rootfs', root])).text
            true(ip in out, 'any server is good: ' + out)


@test
def a_volume_keeps_its_own():
    folder = os.path.join(WORK, 'etc')
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, 'resolv.conf'), 'w') as f:
        f.write('nameserver 192.0.2.1\n')
    ok(leat(['/bin/cat', '/etc/resolv.conf'], ['-v', folder + ':/etc']), 'nameserver 192.0.2.1\n')
    with open(os.path.join(folder, 'resolv.conf')) as f:
        equal(f.read(), 'nameserver 192.0.2.1\n', 'untouched')


@test
def address_is_not_for_instances():
    r = leat(['/bin/true'], ['--ip', '10.99.255.254'])
    true(r.code == 125 and b'10.99.255.253' in r.err, str(r))


main()
