#!/usr/bin/python3
"""What fails is reported by name and reason, and takes nobody else along."""
import json
import os
import signal
import time

import gateway_test as g
from gateway_test import t

G = g.Gateway()


def reason(name):
    return G.function(name)['last_error']


def failing(name, yaml, files=(), command=g.PYTHON):
    g.deploy(name, yaml, files, command)
    r = G.get('/function/' + name)
    return r.status, r.body.decode()


@t.test
def exits_at_once():
    status, text = failing('exits', '', [('f.sh', 'echo no licence; exit 3\n')],
                           'command: [/bin/sh, f.sh]\n')
    t.equal(status, 502, text)
    t.true("'exits'" in text and 'exit status 3' in text and 'no licence' in text, text)
    t.true('exit status 3' in reason('exits'), reason('exits'))


@t.test
def program_is_not_there():
    status, text = failing('missing', '', [], 'command: [/nowhere/program]\n')
    t.equal(status, 502, text)
    t.true("'missing'" in text, text)


@t.test
def never_gets_ready():
    status, text = failing('mute', 'startup: 700ms\n', [('f.sh', 'echo thinking; sleep 1000\n')],
                           'command: [/bin/sh, f.sh]\n')
    t.equal(status, 502, text)
    t.true('not ready within 0.7 s' in text and 'port 8080' in text and 'thinking' in text, text)
    t.until(lambda: not G.function('mute')['instances'], 'it was ended', g.WAIT)


@t.test
def prints_garbage():
    app = ("import os,socket\ns=socket.create_server(('0.0.0.0',int(os.environ['PORT'])))\n"
           "while True:\n c,_=s.accept()\n c.recv(999)\n c.sendall(b'\\x00garbage\\n\\n'*9)\n"
           " c.close()\n")
    status, text = failing('garbage', '', [('app.py', app)])
    t.equal(status, 502, text)
    t.true('gave no valid HTTP answer' in text, text)


@t.test
def floods_its_output():
    g.deploy('flood', 'timeout: 60s\n')
    t.equal(G.get('/function/flood/flood').body, b'flooded', 'it goes on')
    t.true('floods its output' in reason('flood'), reason('flood'))
    size = sum(os.path.getsize(os.path.join(t.STATE, 'functions', n))
               for n in os.listdir(os.path.join(t.STATE, 'functions')) if n.startswith('flood'))
    t.true(size < 3 << 20, 'its log has an end: %d bytes' % size)


@t.test
def eats_its_memory():
    g.deploy('eater', 'memory: 64M\nconcurrency: 2\n')
    t.equal(G.get('/function/eater').status, 200, 'before')
    r = G.get('/function/eater/eat')
    t.true(r.status != 200, 'it does not get 4 GiB')
    t.equal(G.get('/function/eater').status, 200, 'after')


@t.test
def killed_in_a_call():
    g.deploy('victim', 'concurrency: 8\n')
    g.deploy('other', 'concurrency: 8\n')
    t.equal(G.get('/function/victim').status, 200, 'warm')
    t.equal(G.get('/function/other').status, 200, 'warm')
    others = g.Parallel(4, lambda i: G.get('/function/other/sleep/1'))
    r = G.get('/function/victim/die')
    t.equal(r.status, 502, 'the caller')
    t.true(b'SIGKILL' in r.body, r.body.decode())
    t.equal([a.status for a in others.results()], [200] * 4, 'the others')
    t.equal(G.get('/function/victim').status, 200, 'the next one')
    r = G.get('/function/victim/exit')
    t.true(r.status == 502 and b'exit status 3' in r.body, r.body.decode())


@t.test
def deployments_survive_kill_9_of_the_gateway():
    before = sorted(f['name'] for f in json.loads(t.ok(t.cli('functions', '--json')).out))
    G.kill()
    G.start()
    after = sorted(f['name'] for f in json.loads(t.ok(t.cli('functions', '--json')).out))
    t.equal(after, before, 'functions')
    t.equal(G.get('/function/other').status, 200, 'a call')


@t.test
def no_async_call_is_lost():
    ids = {G.post('/async-function/other/print', b'job-%d.' % i).headers['x-call-id']
           for i in range(30)}
    t.equal(len(ids), 30, 'accepted')
    G.kill()
    G.start()

    def all_done():
        out = t.cli('logs', 'other').text
        return all('job-%d.' % i in out for i in range(30))

    t.until(all_done, 'every job has run', g.WAIT)


@t.test
def leatd_killed():
    t.equal(G.get('/function/other').status, 200, 'before')
    with open(os.path.join(t.STATE, 'lock'), encoding='ascii') as f:
        os.kill(int(f.read()), signal.SIGKILL)
    t.until(lambda: G.function('other')['ready'] == 0, 'the instances are gone', g.WAIT)
    t.equal(G.get('/function/other').status, 200, 'after')


@t.test
def ends_when_the_last_call_has():
    slow = g.Parallel(1, lambda i: G.get('/function/other/sleep/1'))
    t.until(lambda: G.function('other')['running'] == 1, 'it runs', g.WAIT)
    t.equal(G.stop(), 0, 'exit code')
    t.equal(slow.results()[0].status, 200, 'the call')
    G.start()


@t.test
def two_gateways_do_not_share_a_store():
    r = t.execute([g.GATEWAY, '--listen', str(g.free_port())])
    t.true(r.code == 125 and b'another one uses' in r.err, str(r))


g.main(G)
