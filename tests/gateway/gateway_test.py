"""What the gateway's tests share: a gateway of their own, functions, and requests."""
import base64
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), '..'))
import leat_test as t  # noqa: E402

GATEWAY = os.path.join(t.BUILD, 'apps', 'leat-gateway')
t.TIMEOUT = float(os.environ.get('LEAT_TIMEOUT', '150'))
WAIT = t.TIMEOUT

# One program for most tests: what it does is in the path.
APP = r'''
import os, sys, time, signal
from http.server import ThreadingHTTPServer, BaseHTTPRequestHandler
calls = {}
class H(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def log_message(self, *a): pass
    def answer(self, body, status=200, extra=()):
        self.send_response(status)
        for k, v in extra: self.send_header(k, v)
        self.send_header('content-length', str(len(body)))
        self.end_headers()
        if self.command != 'HEAD': self.wfile.write(body)
    def do(self):
        n = int(self.headers.get('content-length') or 0)
        body = self.rfile.read(n)
        path = self.path.split('?')[0]
        if path == '/headers':
            self.answer(''.join('%s: %s\n' % x for x in self.headers.items()).encode())
        elif path == '/path':
            self.answer(self.path.encode())
        elif path.startswith('/sleep/'):
            time.sleep(float(path[7:])); self.answer(os.environ['K_SERVICE'].encode())
        elif path == '/die':
            os.kill(os.getpid(), signal.SIGKILL)
        elif path == '/exit':
            os._exit(3)
        elif path == '/status':
            self.answer(b'teapot', 418, [('x-own', 'yes')])
        elif path == '/print':
            print('printed', body.decode(), flush=True); self.answer(b'')
        elif path == '/stream':
            self.send_response(200); self.send_header('transfer-encoding', 'chunked')
            self.end_headers()
            for i in range(5):
                self.wfile.write(b'6\r\npart%d\n\r\n' % i); self.wfile.flush(); time.sleep(0.02)
            self.wfile.write(b'0\r\n\r\n')
        elif path == '/half':
            self.send_response(200); self.send_header('content-length', '1000')
            self.end_headers(); self.wfile.write(b'half'); self.wfile.flush()
            self.close_connection = True
        elif path == '/secret':
            self.answer(open('/var/openfaas/secrets/key').read().encode())
        elif path == '/flaky':
            calls[body] = calls.get(body, 0) + 1
            self.answer(b'%d' % calls[body], 200 if calls[body] > 2 else 500)
        elif path == '/whoami':
            self.answer(os.uname().nodename.encode() + b' %d' % os.getpid())
        elif path == '/eat':
            keep = [bytearray(os.urandom(1) * (1 << 20)) for _ in range(4096)]
            self.answer(b'ate %d' % len(keep))
        elif path == '/flood':
            for i in range(40000): print('x' * 99)
            sys.stdout.flush(); self.answer(b'flooded')
        else:
            self.answer(body or b'hello')
    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do
ThreadingHTTPServer.daemon_threads = True
ThreadingHTTPServer.request_queue_size = 128
ThreadingHTTPServer(('0.0.0.0', int(os.environ['PORT'])), H).serve_forever()
'''

# A Lambda runtime, in one process.
BOOTSTRAP = r'''#!/usr/bin/python3
import http.client, os
api = http.client.HTTPConnection(os.environ['AWS_LAMBDA_RUNTIME_API'])
base = '/2018-06-01/runtime/invocation/'
def ask(method, path, body=None):
    api.request(method, base + path, body)
    answer = api.getresponse()
    return answer.headers['lambda-runtime-aws-request-id'], answer.read()
while True:
    id, event = ask('GET', 'next')
    if b'exit' in event:
        os._exit(7)
    elif b'fail' in event:
        ask('POST', id + '/error', '{"errorMessage":"as asked","errorType":"Asked"}')
    else:
        ask('POST', id + '/response', b'{"echo":' + event + b'}')
'''


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class Gateway:
    def __init__(self, *args):
        self.port, self.args, self.proc = free_port(), args, None
        self.log = os.path.join(t.WORK, 'gateway.log')
        self.start()

    def start(self):
        with open(self.log, 'ab') as log:
            self.proc = subprocess.Popen(
                [GATEWAY, '--listen', str(self.port), *self.args], env=t.ENV, stderr=log,
                stdin=subprocess.DEVNULL, start_new_session=True)
        t.until(self.answers, 'the gateway listens', WAIT)

    def answers(self):
        if self.proc.poll() is not None:
            raise t.Failed('the gateway ended: ' + self.log_text()[-1000:])
        try:
            return self.get('/healthz').status == 200
        except OSError:
            return False

    def log_text(self):
        with open(self.log, encoding='utf-8', errors='replace') as f:
            return f.read()

    def events(self, kind):
        lines = [json.loads(x) for x in self.log_text().split('\n') if x.startswith('{')]
        return [x for x in lines if x['event'] == kind]

    def kill(self):
        self.proc.kill()
        self.proc.wait()

    def stop(self):
        self.proc.send_signal(signal.SIGTERM)
        return self.proc.wait(WAIT)

    def url(self, path):
        return 'http://127.0.0.1:%d%s' % (self.port, path)

    def request(self, method, path, body=None, headers=None):
        c = http.client.HTTPConnection('127.0.0.1', self.port, timeout=WAIT)
        try:
            c.request(method, path, body, headers or {})
            r = c.getresponse()
            r.body = r.read()
            return r
        finally:
            c.close()

    def get(self, path, **kw):
        return self.request('GET', path, **kw)

    def post(self, path, body=b'', **kw):
        return self.request('POST', path, body, **kw)

    def password(self):
        with open(os.path.join(t.STATE, 'data', 'basic-auth-password'), encoding='ascii') as f:
            return f.read()

    def system(self, method, path, value=None):
        """A management route, with JSON both ways."""
        auth = base64.b64encode(('admin:' + self.password()).encode()).decode()
        body = None if value is None else json.dumps(value)
        return self.request(method, '/system/' + path, body, {'Authorization': 'Basic ' + auth})

    def function(self, name):
        all_ = json.loads(t.ok(t.cli('functions', '--json')).out)
        return next((f for f in all_ if f['name'] == name), None)


def function_dir(name, yaml, files=()):
    """A folder with an f.yaml; the app unless other files are given."""
    path = t.work_dir(name)
    t.write_file(os.path.join(path, 'f.yaml'), 'name: %s\n%s' % (name, yaml))
    for leaf, text in files or [('app.py', APP)]:
        t.write_file(os.path.join(path, leaf), text, 0o755)
    return path


PYTHON = 'command: [/usr/bin/python3, app.py]\n'


def deploy(name, yaml='', files=(), command=PYTHON):
    # a busy machine is slow: what a test does not ask for has a long time
    for key in ('timeout', 'startup'):
        if key + ':' not in yaml:
            yaml += '%s: %ds\n' % (key, WAIT * 2 / 3)
    path = function_dir(name, command + yaml, files)
    t.ok(t.cli('deploy', path), name + '\n')
    return path


class Parallel:
    """Requests at the same time; results() waits for all."""

    def __init__(self, n, f):
        self.out = [None] * n

        def run(i):
            try:
                self.out[i] = f(i)
            except Exception as e:  # the test looks at it
                self.out[i] = e

        self.threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
        for x in self.threads:
            x.start()

    def results(self):
        for x in self.threads:
            x.join()
        return self.out


def main(gateway):
    finish = t.finish

    def end():
        if gateway.proc.poll() is None:
            gateway.kill()
        finish()

    t.finish = end
    for program in ('curl', 'python3'):
        if not shutil.which(program):
            print('1..0 # SKIP %s is not installed' % program)
            end()
            return
    t.main()
