#!/usr/bin/python3
"""Snapshots and clones: what goes on, what is new in each clone, and what is refused."""
import json
import os
import shutil
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..'))
from leat_test import (LEAT, NATIVE, STATE, WORK, cli, equal, execute, main, need, ok, popen, test,
                       true, until, work_dir, write_file)  # noqa: E402

PATIENCE = 60  # on a machine that has other things to do

if NATIVE:
    print('1..0 # SKIP snapshots have no native form')
    sys.exit(0)

BUILD_DIR = next(a for a in sys.argv[1:] if a.startswith('/'))
STATE_EXE = os.path.join(BUILD_DIR, 'state')

PYTHON_SERVER = '''
import http.server, json, os, socket, ssl, sys, time, uuid
count = 0
def port():
    with socket.socket() as s:
        s.bind(('0.0.0.0', 0))
        return s.getsockname()[1]
def hello():
    out = ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname='x')
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return out.read()[11:43].hex()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global count
        count += 1
        text = json.dumps(dict(count=count, pid=os.getpid(), urandom=os.urandom(16).hex(),
            uuid=str(uuid.uuid4()), tls=hello(), ports=[port() for _ in range(3)],
            dev=open('/dev/urandom', 'rb').read(8).hex(),
            boot=open('/proc/sys/kernel/random/boot_id').read().strip(),
            generation=int(open('/proc/sys/kernel/random/generation').read()),
            host=socket.gethostname(), now=time.time(), mono=time.monotonic())).encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *args): pass
print('up', flush=True)
http.server.ThreadingHTTPServer(('0.0.0.0', 8080), Handler).serve_forever()
'''

NODE_SERVER = '''
const http = require('http'), crypto = require('crypto'), fs = require('fs');
let count = 0;
setInterval(() => {}, 20);
http.createServer((q, r) => {
  count++;
  r.end(JSON.stringify({count, pid: process.pid, urandom: crypto.randomBytes(16).toString('hex'),
    uuid: crypto.randomUUID({disableEntropyCache: true}),
    key: crypto.generateKeyPairSync('x25519').publicKey.export({type: 'spki', format: 'der'})
      .toString('hex'),
    boot: fs.readFileSync('/proc/sys/kernel/random/boot_id', 'ascii')}));
}).listen(8080, () => console.log('up'));
'''


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def get(port):
    """The body of GET / at a published port; None while nobody answers."""
    try:
        with socket.create_connection(('127.0.0.1', port), 5) as s:
            s.sendall(b'GET / HTTP/1.0\r\nHost: x\r\n\r\n')
            data = b''
            while True:
                part = s.recv(65536)
                if not part:
                    break
                data += part
    except OSError:
        return None
    body = data.partition(b'\r\n\r\n')[2]
    return json.loads(body) if body else None


def start(name, *argv, opts=()):
    port = free_port()
    ok(cli('run', '-d', '--name', name, '-p', '%d:8080' % port, *opts, '--', *argv))
    until(lambda: get(port), name + ' answers', PATIENCE)
    return port


def clone(name, folder, *opts):
    port = free_port()
    ok(cli('clone', '-d', '--name', name, '-p', '%d:8080' % port, *opts, folder))
    return port


def snapshot(name, folder, *opts):
    return ok(cli('snapshot', *opts, name, '-o', folder))


def remove(*names):
    for name in names:
        ok(cli('rm', '-f', name))


def all_differ(answers, *keys):
    for key in keys:
        values = [json.dumps(a[key]) for a in answers]
        equal(len(set(values)), len(values), 'different values of %s in %s' % (key, values))


def template():
    """A Python server and its snapshot, made once."""
    folder = os.path.join(WORK, 'template')
    if not os.path.exists(folder):
        write_file(os.path.join(WORK, 'server.py'), PYTHON_SERVER)
        port = start('template', '/usr/bin/python3', os.path.join(WORK, 'server.py'))
        snapshot('template', folder)
        equal(get(port)['count'], 2, 'the original goes on')
        remove('template')
    return folder


@test
def a_program_goes_on_as_it_was():
    """Threads, memory of all kinds, pipes, sockets, timers, signals: as natively."""
    native = ok(execute([STATE_EXE], stdin=b'go\n')).out
    true(b'BAD' not in native, 'the program itself: ' + native.decode())
    p = popen([LEAT, 'run', '--name', 'state', '--', STATE_EXE], stdin=-1)
    equal(p.stdout.readline(), b'ready\n', 'first line')
    folder = os.path.join(WORK, 'state-snapshot')
    snapshot('state', folder)
    expected = native.partition(b'\n')[2]
    equal(p.communicate(b'go\n', 30)[0], expected, 'output of the original')
    for _ in range(3):
        equal(ok(cli('clone', folder, stdin=b'go\n')).out, expected, 'output of a clone')


@test
def clones_of_python_differ():
    folder = template()
    names = ['p%d' % i for i in range(4)]
    ports = [clone(n, folder) for n in names]
    answers = [until(lambda p=p: get(p), 'a clone answers', PATIENCE) for p in ports]
    all_differ(answers, 'urandom', 'uuid', 'tls', 'ports', 'dev', 'boot')
    answers += [get(p) for p in ports]
    all_differ(answers, 'urandom', 'uuid', 'tls', 'ports', 'dev')
    for a in answers:
        true(abs(a['now'] - time.time()) < 60, 'the time is now')
        equal(a['generation'], 1, 'generation')
    equal([a['count'] for a in answers], [2] * 4 + [3] * 4, 'counts')
    macs = [json.loads(ok(cli('inspect', '--json', n)).out)['ip'] for n in names]
    equal(len(set(macs)), 4, 'different addresses')
    remove(*names)


@test
def clones_of_node_differ():
    need('node')
    write_file(os.path.join(WORK, 'server.js'), NODE_SERVER)
    start('node', shutil.which('node'), os.path.join(WORK, 'server.js'))
    folder = os.path.join(WORK, 'node-snapshot')
    snapshot('node', folder, '--stop')
    names = ['n%d' % i for i in range(3)]
    ports = [clone(n, folder) for n in names]
    answers = [until(lambda p=p: get(p), 'a clone answers', PATIENCE) for p in ports]
    answers += [get(p) for p in ports]
    all_differ(answers, 'urandom', 'uuid', 'key')
    all_differ(answers[:3], 'boot')
    remove(*names, 'node')


@test
def a_clone_of_a_clone():
    folder, second = template(), os.path.join(WORK, 'second')
    port = clone('first', folder)
    until(lambda: get(port), 'the clone answers', PATIENCE)
    snapshot('first', second, '--stop')
    port = clone('second', second)
    answer = until(lambda: get(port), 'the clone of the clone answers', PATIENCE)
    equal((answer['count'], answer['generation']), (3, 2), 'count and generation')
    remove('first', 'second')


@test
def connections_are_reset_in_clones_only():
    script = write_file(os.path.join(WORK, 'peer.py'), '''
import socket, sys
s = socket.create_server(('0.0.0.0', 8080))
def serve(c):
    c.sendall(b'{}' if not c.recv(100).startswith(b'hold') else b'held')
while True:
    c = s.accept()[0]
    data = c.recv(100)
    if data == b'hold':
        c.sendall(b'held')
        break
    c.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\n{"a": 1}')
    c.close()
try:
    print('got', c.recv(100), flush=True)
except OSError as e:
    print('error', e.errno, flush=True)
''')
    port = start('peer', '/usr/bin/python3', script)
    with socket.create_connection(('127.0.0.1', port), 5) as held:
        held.sendall(b'hold')
        equal(held.recv(10), b'held', 'answer')
        folder = os.path.join(WORK, 'peer-snapshot')
        snapshot('peer', folder)
        equal(ok(cli('clone', folder)).out, b'error 104\n', 'the clone')
        held.sendall(b'more')
        until(lambda: b"got b'more'" in cli('logs', 'peer').out, 'the original has its connection',
              PATIENCE)
    remove('peer')


@test
def shells_that_end_in_exec_and_read_only_volumes():
    folder, files = os.path.join(WORK, 'shell-snapshot'), work_dir('files')
    write_file(os.path.join(files, 'server.py'), PYTHON_SERVER)
    start('shell', '/bin/sh', '-c', 'cd /srv; echo $(ls); exec python3 server.py',
          opts=('-v', files + ':/srv:ro'))
    snapshot('shell', folder, '--stop')
    port = clone('shell2', folder)
    equal(until(lambda: get(port), 'the clone answers', PATIENCE)['count'], 2, 'count')
    remove('shell', 'shell2')


@test
def many_clones_at_once():
    folder = template()
    names = ['m%d' % i for i in range(12)]
    ports = [free_port() for _ in names]
    running = [popen([LEAT, 'clone', '-d', '--name', n, '-p', '%d:8080' % p, folder])
               for n, p in zip(names, ports)]
    for p in running:
        equal(p.wait(60), 0, 'exit code')
    answers = [until(lambda p=p: get(p), 'a clone answers', PATIENCE) for p in ports]
    all_differ(answers, 'urandom', 'uuid', 'tls', 'boot')
    remove(*names)


# ---- what is refused ----

def refused(folder, what):
    r = cli('clone', folder)
    equal(r.code, 125, 'exit code')
    true(what in r.err.decode(), '%s in %r' % (what, r.err))


def copy_of(folder, name):
    path = os.path.join(WORK, name)
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(folder, path)
    return path


def damage(folder, offset, file='memory'):
    with open(os.path.join(folder, file), 'r+b') as f:
        f.seek(offset, 2 if offset < 0 else 0)
        byte = f.read(1)
        f.seek(-1, 1)
        f.write(bytes([byte[0] ^ 1]))


@test
def damaged_snapshots_are_refused():
    folder = template()
    with open(os.path.join(folder, 'memory'), 'rb') as f:
        head = f.read(96)
    runs_off = struct.unpack_from('<Q', head, 72)[0]
    for name, offset, what in (('magic', 0, 'no snapshot'), ('version', 8, 'format'),
                               ('image', 20, 'damaged'), ('boot', 50, 'damaged'),
                               ('table', runs_off + 3, 'damaged'),
                               ('first-page', 4096 + 17, 'damaged'),
                               ('last-page', runs_off - 5, 'damaged'),
                               ('size', 64, 'damaged'), ('runs', 80, 'damaged')):
        path = copy_of(folder, 'bad-' + name)
        damage(path, offset)
        refused(path, what)
        shutil.rmtree(path)
    path = copy_of(folder, 'bad-request')
    damage(path, 30, 'request.json')
    refused(path, 'damaged')
    path = copy_of(folder, 'bad-length')
    os.truncate(os.path.join(path, 'memory'), runs_off)
    refused(path, 'damaged')
    refused(os.path.join(WORK, 'nowhere'), 'cannot open')


@test
def a_damage_after_the_first_clone_is_seen():
    path = copy_of(template(), 'late')
    port = clone('late', path)
    until(lambda: get(port), 'the clone answers', PATIENCE)
    remove('late')
    damage(path, 4096 + 17)
    refused(path, 'damaged')


@test
def a_changed_program_is_refused():
    files = work_dir('changed')
    program = shutil.copy(STATE_EXE, os.path.join(files, 'program'))
    p = popen([LEAT, 'run', '--name', 'changed', '--', program], stdin=-1)
    equal(p.stdout.readline(), b'ready\n', 'first line')
    folder = os.path.join(WORK, 'changed-snapshot')
    snapshot('changed', folder, '--stop')
    p.communicate()
    with open(program, 'ab') as f:
        f.write(b'x')
    refused(folder, 'has changed since the snapshot')
    os.unlink(program)
    refused(folder, 'cannot clone')


@test
def what_cannot_be_snapshotted():
    files = work_dir('volume')
    for name, text, opts, what in (
            ('forked', 'sleep 1000 & wait', (), 'forked'),
            ('volume', 'exec sleep 1000', ('-v', files + ':/v'), 'writable volume'),
            ('shared', 'exec python3 -c "import mmap, time; m = mmap.mmap(-1, 4096); '
                       'time.sleep(1000)"', (), 'shared memory')):
        ok(cli('run', '-d', '--name', name, *opts, '--', '/bin/sh', '-c', text))

        def tried(name=name, what=what):
            r = cli('snapshot', name, '-o', os.path.join(WORK, 'none'))
            return r.code == 125 and what in r.err.decode()
        until(tried, what + ' is the reason', PATIENCE)
        ok(cli('kill', name))
        ok(cli('rm', '-f', name))
    r = cli('snapshot', 'nobody', '-o', os.path.join(WORK, 'none'))
    equal(r.code, 125, 'exit code')


@test
def an_instance_goes_on_when_its_snapshotter_goes():
    write_file(os.path.join(WORK, 'server.py'), PYTHON_SERVER)
    port = start('left', '/usr/bin/python3', os.path.join(WORK, 'server.py'))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.connect(os.path.join(STATE, 'leatd.sock'))
        s.send(json.dumps({'op': 'freeze', 'name': 'left'}).encode())
        answer = json.loads(s.recv(1 << 20))
        true(answer.get('ok'), 'frozen: %s' % answer)
        true('somebody' in cli('snapshot', 'left', '-o', os.path.join(WORK, 'n')).err.decode(),
             'a second one is refused')
        calls = json.loads(ok(cli('inspect', '--json', 'left')).out)
        true(calls, 'inspect works meanwhile')
    equal(until(lambda: get(port), 'it goes on', PATIENCE)['count'], 2, 'count')
    remove('left')


main()
