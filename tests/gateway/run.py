#!/usr/bin/python3
"""The gateway with real clients: HTTP/1.1 and h2c, Lambda, OpenFaaS, the command line."""
import base64
import http.server
import json
import os
import re
import shutil
import socket
import threading
import time

import gateway_test as g
from gateway_test import t

G = g.Gateway('--max-body', '4M')


def curl(*args):
    return t.ok(t.execute(['curl', '-sS', '--max-time', '140', *args]))


@t.test
def cold_and_warm():
    g.deploy('hello', 'concurrency: 8\n')
    equal = t.equal
    equal(G.function('hello')['ready'], 0, 'instances before the first call')
    equal(G.get('/function/hello').body, b'hello', 'cold')
    equal(G.post('/function/hello', b'abc').body, b'abc', 'warm')
    equal(G.function('hello')['ready'], 1, 'instances')
    cold = [e['cold'] for e in G.events('invocation') if e['function'] == 'hello']
    equal(cold[:2], [True, False], 'cold')


@t.test
def http2_without_tls():
    t.ok(curl('--http2-prior-knowledge', '-d', 'two', '-w', '%{http_version}',
              G.url('/function/hello')), 'two2')
    t.ok(curl('--http2', '-d', 'up', G.url('/function/hello')), 'up')


@t.test
def path_query_and_status_pass():
    t.equal(G.get('/function/hello/path').body, b'/path', 'path')
    t.equal(G.get('/function/hello/path?a=b&c=%2F').body, b'/path?a=b&c=%2F', 'query')
    r = G.get('/function/hello/status')
    t.equal((r.status, r.body, r.headers['x-own']), (418, b'teapot', 'yes'), 'answer')
    t.equal(G.request('HEAD', '/function/hello').headers['content-length'], '5', 'HEAD')
    t.equal(G.request('PUT', '/function/hello', b'x').body, b'x', 'PUT')
    t.equal(G.get('/function/nobody').status, 404, 'unknown function')


@t.test
def headers_pass_and_are_added():
    trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    r = G.get('/function/hello/headers', headers={
        'ce-id': 'A1', 'ce-specversion': '1.0', 'X-Call-Id': 'my-id', 'traceparent': trace,
        'Connection': 'x-gone', 'Host': 'f.example'})
    seen = dict(line.lower().split(': ', 1) for line in r.body.decode().strip().split('\n'))
    t.equal((seen['ce-id'], seen['ce-specversion']), ('a1', '1.0'), 'CloudEvents')
    t.equal((seen['x-call-id'], seen['traceparent'], seen['host']), ('my-id', trace, 'f.example'),
            'ids')
    t.true(abs(int(seen['x-start-time']) / 1e9 - time.time()) < 60, 'x-start-time')
    t.true('connection' not in seen, 'hop-by-hop headers stay')
    t.equal(r.headers['x-call-id'], 'my-id', 'the answer names the call')
    t.true(float(r.headers['x-duration-seconds']) > 0, 'x-duration-seconds')
    r = G.get('/function/hello/headers')
    t.true(r.headers['x-call-id'] != G.get('/function/hello').headers['x-call-id'], 'own ids')
    t.true(re.search(rb'traceparent: 00-[0-9a-f]{32}-[0-9a-f]{16}-01', r.body), 'made trace')


@t.test
def bodies():
    big = os.urandom(3 << 20)
    t.equal(G.post('/function/hello', big).body, big, '3 MiB')
    t.equal(G.get('/function/hello/stream').body, b''.join(b'part%d\n' % i for i in range(5)),
            'chunks')
    path = t.write_file(os.path.join(t.WORK, 'long'), b'\0' * (5 << 20))
    t.ok(curl('-o', '/dev/null', '-w', '%{http_code}', '--data-binary', '@' + path,
              G.url('/function/hello')), '413')


@t.test
def answer_that_is_broken_off():
    r = t.execute(['curl', '-sS', '--max-time', '140', G.url('/function/hello/half')])
    t.equal((r.code, r.out), (18, b'half'), 'curl sees the loss')


def raw(data):
    with socket.create_connection(('127.0.0.1', G.port), timeout=20) as s:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        out = b''
        while True:
            try:
                got = s.recv(65536)
            except ConnectionError:
                return out
            if not got:
                return out
            out += got


@t.test
def malformed_requests():
    for data in (b'\r\n\r\n', b'GET\r\n\r\n', b'\0' * 500, b'GET / HTTP/9.9\r\n\r\n',
                 b'GET / HTTP/1.1\r\nbad header\r\n\r\n', b'PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n',
                 b'POST /function/hello HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n',
                 b'POST /function/hello HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\nshort',
                 b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + os.urandom(300),
                 b'GET /' + b'a' * 200000 + b' HTTP/1.1\r\n\r\n'):
        out = raw(data)
        t.true(b' 200 ' not in out.split(b'\r\n')[0], 'no success for %r: %r' % (
            data[:40], out[:100]))
    t.equal(G.get('/function/hello').status, 200, 'the gateway lives')


CLONED = '''
import http.server, json, os
started, count = os.urandom(8).hex(), 0
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global count
        count += 1
        body = json.dumps([started, count, os.urandom(8).hex()]).encode()
        self.send_response(200)
        self.send_header('content-length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
if os.environ.get('FORKS') and os.fork() == 0:
    import time
    time.sleep(100000)
http.server.ThreadingHTTPServer(('0.0.0.0', int(os.environ['PORT'])), H).serve_forever()
'''


def template_of(name):
    return G.function(name)['template']


def template_done(name):
    t.until(lambda: template_of(name)['state'] in ('ready', 'none'), 'its template is made', g.WAIT)
    return template_of(name)


@t.test
def instances_are_cloned_from_a_template():
    """Started once, warmed and snapshotted: instances begin with what that one had."""
    g.deploy('cloned', 'template: true\nwarm: /\nidle: 1s\nkeepwarm: fixed\n', [('app.py', CLONED)])
    t.equal(template_done('cloned'), {'state': 'ready', 'reason': ''}, 'template')
    seen = []
    for _ in range(3):
        seen.append(json.loads(G.get('/function/cloned').body))
        t.until(lambda: G.function('cloned')['ready'] == 0, 'it goes when it is idle', g.WAIT)
    t.equal([s[:2] for s in seen], [[seen[0][0], 2]] * 3, 'memory of the one that was started')
    t.equal(len(set(s[2] for s in seen)), 3, 'random numbers of its own')
    first = seen[0][0]
    g.deploy('cloned', 'template: true\nwarm: /\n', [('app.py', CLONED)])
    template_done('cloned')
    t.true(json.loads(G.get('/function/cloned').body)[0] != first, 'a new version is another one')


@t.test
def what_has_no_template_starts_in_full():
    g.deploy('forks', 'template: true\nenv: {FORKS: "1"}\n', [('app.py', CLONED)])
    t.true('it has forked' in template_done('forks')['reason'], 'reason: %s' % template_of('forks'))
    g.deploy('plain', '', [('app.py', CLONED)])
    for name in ('forks', 'plain'):
        t.equal(json.loads(G.get('/function/' + name).body)[1], 1, name)
    t.equal(template_of('plain'), {'state': 'none', 'reason': 'not wanted'}, 'template')


@t.test
def scales_to_zero_and_back():
    g.deploy('nap', 'concurrency: 100\nkeepwarm: fixed\nidle: 300ms\n')
    for _ in range(2):
        answers = g.Parallel(20, lambda i: G.post('/function/nap', b'%d' % i)).results()
        t.equal([a.body for a in answers], [b'%d' % i for i in range(20)], 'held until ready')
        t.until(lambda: not G.function('nap')['instances'], 'no instance is left', g.WAIT)


@t.test
def scales_up_by_queueing_delay():
    g.deploy('wide', 'concurrency: 1\nmax: 3\ndelay: 10ms\n')
    answers = g.Parallel(6, lambda i: G.get('/function/wide/sleep/0.5')).results()
    t.equal([a.status for a in answers], [200] * 6, 'all answered')
    t.true(G.function('wide')['starts'] > 1, 'more than one instance')


@t.test
def full_queue_is_429():
    g.deploy('tight', 'concurrency: 1\nmax: 1\nqueue: 1\n')
    t.equal(G.get('/function/tight').status, 200, 'warm')
    answers = g.Parallel(5, lambda i: G.get('/function/tight/sleep/1')).results()
    t.equal(sorted(a.status for a in answers), [200, 200, 429, 429, 429], 'statuses')
    refused = next(a for a in answers if a.status == 429)
    t.true(int(refused.headers['retry-after']) > 0, 'Retry-After')


@t.test
def timeout_is_504():
    g.deploy('slow', 'timeout: 500ms\nconcurrency: 4\n')
    t.equal(G.get('/function/slow').status, 200, 'warm')
    r = G.get('/function/slow/sleep/30')
    t.equal(r.status, 504, 'status')
    t.true(b'did not answer within 0.5 s' in r.body, r.body.decode())


@t.test
def new_version_replaces_the_old():
    path = g.deploy('ver', 'concurrency: 2\n', [('app.py', g.APP.replace("b'hello'", "b'one'"))])
    t.equal(G.get('/function/ver').body, b'one', 'first')
    slow = g.Parallel(1, lambda i: G.get('/function/ver/sleep/1'))
    time.sleep(0.3)
    t.write_file(os.path.join(path, 'app.py'), g.APP.replace("b'hello'", "b'two'"))
    t.ok(t.cli('deploy', path))
    t.equal(G.get('/function/ver').body, b'two', 'second')
    t.equal(slow.results()[0].status, 200, 'what ran was finished')


@t.test
def functions_from_images():
    t.need('mkfs.erofs')
    if not os.path.exists('/bin/busybox'):
        raise t.Skip('busybox-static is not installed')
    root = t.work_dir('image-root')
    for d in ('bin', 'www'):
        os.makedirs(os.path.join(root, d))
    shutil.copy('/bin/busybox', os.path.join(root, 'bin', 'sh'))
    t.write_file(os.path.join(root, 'www', 'index.html'), 'from the image')
    config = t.write_file(os.path.join(t.WORK, 'config.json'), json.dumps(
        {'Entrypoint': ['/bin/sh', '-c'], 'Env': ['WHERE=/www'],
         'Cmd': ['exec -a httpd /bin/sh httpd -f -p $PORT -h $WHERE']}))
    t.ok(t.cli('image', 'build', '-t', 'fn/web:1', '--config', config, root))
    image = os.path.join(t.WORK, 'web.erofs')
    t.ok(t.cli('image', 'build', '-o', image, root))
    g.deploy('ofimage', 'image: fn/web:1\n', command='')
    t.equal(G.get('/function/ofimage').body, b'from the image', 'its own program')
    t.true(G.function('ofimage'), 'it is listed')
    calls = t.ok(t.cli('inspect', '--sandbox', instance_of('ofimage'))).text
    t.true('openat' not in calls, 'it has no files of the host')
    g.deploy('offile', 'image: %s\n' % image, command=(
        'command: [/bin/sh, -c, "cd /www && echo other > index.html && '
        'exec -a httpd /bin/sh httpd -f -p $PORT"]\n'))
    t.equal(G.get('/function/offile').body, b'other\n', 'a file, and a command of its own')
    t.equal(G.system('POST', 'functions', {'service': 'ofaas', 'image': 'fn/web:1'}).status, 202,
            'by OpenFaaS\' route')
    t.equal(G.get('/function/ofaas').body, b'from the image', 'and it answers')
    t.equal(G.system('POST', 'functions', {'service': 'bad', 'image': '../x.erofs'}).status, 400,
            'no files by that route')
    g.deploy('noimage', 'image: fn/none\n', command='')
    r = G.get('/function/noimage')
    t.true(r.status == 502 and b'no image fn/none' in r.body, '%d %r' % (r.status, r.body))
    for name in ('ofimage', 'offile', 'ofaas', 'noimage'):
        t.ok(t.cli('rm', name))


def instance_of(function):
    """The name of a running instance of it."""
    names = [i['name'] for i in json.loads(t.ok(t.cli('ps', '--json')).out)]
    return next(n for n in names if n.startswith(function + '-'))


@t.test
def lambda_runtime_and_invoke():
    g.deploy('lam', 'contract: lambda\n', [('bootstrap', g.BOOTSTRAP)], 'command: [./bootstrap]\n')
    invoke = '/2015-03-31/functions/lam/invocations'
    r = G.post(invoke, b'{"a":1}')
    t.equal((r.status, r.body), (200, b'{"echo":{"a":1}}'), 'answer')
    t.equal(r.headers['x-amz-executed-version'], '$LATEST', 'version')
    r = G.post(invoke, b'"fail"')
    t.equal((r.status, r.headers['x-amz-function-error']), (200, 'Unhandled'), 'error')
    t.equal(json.loads(r.body)['errorMessage'], 'as asked', 'message')
    r = G.post(invoke, b'"exit"')
    t.equal((r.status, r.headers['x-amz-function-error']), (200, 'Unhandled'), 'exit')
    t.true('exit status 7' in json.loads(r.body)['errorMessage'], r.body.decode())
    t.equal(G.post(invoke, b'2').body, b'{"echo":2}', 'another instance')
    r = G.post('/2015-03-31/functions/none/invocations')
    t.equal((r.status, r.headers['x-amzn-errortype']), (404, 'ResourceNotFoundException'), '404')
    t.equal(G.post('/function/lam', b'{"b":2}').body, b'{"echo":{"b":2}}', 'by the other route')


@t.test
def awscli_invokes():
    t.need('aws')
    out = os.path.join(t.WORK, 'aws.out')
    env = dict(t.ENV, AWS_ACCESS_KEY_ID='a', AWS_SECRET_ACCESS_KEY='b', HOME=t.WORK,
               AWS_DEFAULT_REGION='us-east-1')

    def aws(*args):
        return json.loads(t.ok(t.execute(
            ['aws', 'lambda', 'invoke', '--endpoint-url', G.url(''), '--output', 'json',
             '--cli-binary-format', 'raw-in-base64-out', *args, out], env=env)).out)

    t.equal(aws('--function-name', 'lam', '--payload', '{"k":[1]}')['StatusCode'], 200, 'status')
    with open(out, encoding='utf-8') as f:
        t.equal(f.read(), '{"echo":{"k":[1]}}', 'payload')
    t.equal(aws('--function-name', 'lam', '--payload', '"fail"')['FunctionError'], 'Unhandled',
            'error')
    t.equal(aws('--function-name', 'lam', '--invocation-type', 'Event', '--payload',
                '1')['StatusCode'], 202, 'event')
    t.equal(aws('--function-name', 'hello', '--payload', '{"h":1}')['StatusCode'], 200,
            'of an HTTP function')


@t.test
def openfaas_routes():
    t.equal(G.get('/system/functions').status, 401, 'no password')
    auth = 'Basic ' + base64.b64encode(b'admin:wrong').decode()
    t.equal(G.get('/system/functions', headers={'Authorization': auth}).status, 401, 'wrong one')
    info = json.loads(G.system('GET', 'info').body)
    t.equal(info['provider']['orchestration'], 'leat', 'info')
    path = g.function_dir('of', '', [('app.py', g.APP)])
    os.unlink(os.path.join(path, 'f.yaml'))
    for name_key in ('service', 'serviceName'):
        r = G.system('POST', 'functions', {
            name_key: 'of', 'image': path, 'envProcess': '/usr/bin/python3 app.py',
            'envVars': {'E': 'v'}, 'labels': {'com.openfaas.scale.max': '2', 'l': 'm'},
            'limits': {'memory': '256Mi'}})
        t.equal(r.status, 202, r.body.decode())
    t.equal(G.get('/function/of').body, b'hello', 'call')
    t.equal(G.get('/function/of.default').body, b'hello', 'with its namespace')
    one = json.loads(G.system('GET', 'function/of').body)
    t.equal((one['name'], one['replicas'], one['availableReplicas'], one['labels']['l'],
             one['envVars']), ('of', 1, 1, 'm', {'E': 'v'}), 'status')
    t.equal(one['invocationCount'], 2, 'count')
    t.true('of' in [x['name'] for x in json.loads(G.system('GET', 'functions').body)], 'list')
    t.equal(G.system('POST', 'scale-function/of', {'serviceName': 'of', 'replicas': 2}).status,
            202, 'scale')
    t.until(lambda: G.function('of')['ready'] == 2, 'two instances', g.WAIT)
    t.equal(G.system('POST', 'scale-function/of', {'replicas': 0}).status, 202, 'scale to 0')
    t.until(lambda: not G.function('of')['instances'], 'no instance', g.WAIT)
    t.equal(G.get('/function/of').body, b'hello', 'from zero')
    t.equal(G.system('PUT', 'functions', {'service': 'nobody', 'image': path}).status, 404, 'PUT')
    t.equal(G.system('POST', 'functions', {'service': 'x y', 'image': path}).status, 400, 'name')
    t.equal(G.system('DELETE', 'functions', {'functionName': 'of'}).status, 202, 'delete')
    t.equal(G.get('/function/of').status, 404, 'gone')
    t.equal(G.system('DELETE', 'functions', {'functionName': 'of'}).status, 404, 'twice')


@t.test
def openfaas_logs():
    G.post('/function/hello/print', b'a line')

    def lines():
        r = G.system('GET', 'logs?name=hello&tail=5')
        return [json.loads(x) for x in r.body.decode().split('\n') if x]

    t.until(lambda: any(x['text'] == 'printed a line' and x['name'] == 'hello' and
                        x['instance'].startswith('hello-') for x in lines()), 'the line', g.WAIT)


@t.test
def secrets_are_files_and_rotate():
    t.equal(G.system('POST', 'secrets', {'name': 'key', 'value': 'first'}).status, 201, 'create')
    g.deploy('sec', 'secrets: [key]\nconcurrency: 2\n')
    t.equal(G.get('/function/sec/secret').body, b'first', 'first')
    t.equal(G.system('PUT', 'secrets', {'name': 'key', 'value': 'second'}).status, 200, 'change')
    t.until(lambda: G.get('/function/sec/secret').body == b'second', 'the new value', g.WAIT)
    t.ok(t.cli('secret', 'key', '--from', '-', stdin=b'third'))
    t.until(lambda: G.get('/function/sec/secret').body == b'third', 'by leat secret', g.WAIT)
    t.equal(G.function('sec')['starts'], 1, 'the same instance saw them')
    listed = G.system('GET', 'secrets').body
    t.true(b'"key"' in listed and b'third' not in listed, 'listed without values')
    t.equal(G.system('DELETE', 'secrets', {'name': 'key'}).status, 202, 'delete')
    t.ok(t.cli('rm', 'sec'))


class Callback(http.server.BaseHTTPRequestHandler):
    got = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers['content-length']))
        Callback.got.append((dict(self.headers), body))
        self.send_response(200)
        self.send_header('content-length', '0')
        self.end_headers()

    def log_message(self, *args):
        pass


@t.test
def async_calls_retry_and_call_back():
    server = http.server.HTTPServer(('127.0.0.1', 0), Callback)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    r = G.post('/async-function/hello/flaky', b'job', headers={
        'X-Callback-Url': 'http://127.0.0.1:%d/done' % server.server_port})
    t.equal((r.status, r.body), (202, b''), 'accepted')
    t.until(lambda: Callback.got, 'the callback', g.WAIT)
    headers, body = Callback.got[0]
    headers = {k.lower(): v for k, v in headers.items()}
    t.equal((body, headers['x-call-id'], headers['x-function-name'], headers['x-function-status']),
            (b'3', r.headers['x-call-id'], 'hello', '200'), 'the third try')
    server.shutdown()


@t.test
def quotas_of_a_tenant():
    g.deploy('q1', 'tenant: poor\nconcurrency: 4\n')
    t.ok(t.cli('quota', 'poor', '--functions', '2', '--instances', '1'))
    g.deploy('q2', 'tenant: poor\n')
    r = t.cli('deploy', g.function_dir('q3', g.PYTHON + 'tenant: poor\n'))
    t.true(r.code == 125 and b'has its 2 functions' in r.err, str(r))
    t.equal(G.get('/function/q1').status, 200, 'the one instance')
    r = G.get('/function/q2')
    t.equal(r.status, 429, 'no second one')
    t.true(b'tenant poor has its 1 instances' in r.body, r.body.decode())
    t.ok(t.cli('undeploy', 'q1', 'q2'))


@t.test
def command_line():
    r = t.ok(t.cli('functions'))
    t.true(b'hello' in r.out, str(r))
    t.ok(t.cli('invoke', 'hello', '-d', 'data'), 'data')
    r = t.ok(t.cli('invoke', 'hello', '--path', '/status', '-i'), code=1)
    t.true(b'status: 418' in r.out and b'teapot' in r.err, str(r))
    t.ok(t.cli('invoke', 'hello', '-d', '@-', stdin=b'x' * 2000000), b'x' * 2000000)
    r = t.cli('invoke', 'nobody')
    t.true(r.code == 125 and b"cannot find a function 'nobody'" in r.err, str(r))
    t.true(b'printed a line' in t.ok(t.cli('logs', 'hello')).out, 'logs')
    r = t.cli('deploy', t.WORK)
    t.true(r.code == 125 and b'f.yaml' in r.err, str(r))
    bad = g.function_dir('bad', g.PYTHON + 'colour: red\n')
    r = t.cli('deploy', bad)
    t.true(r.code == 125 and b"there is no key 'colour'" in r.err, str(r))
    g.deploy('gone')
    t.ok(t.cli('rm', 'gone'))
    t.equal(G.function('gone'), None, 'removed')


@t.test
def metrics_are_prometheus():
    r = G.get('/metrics')
    text = r.body.decode()
    for name in ('gateway_function_invocation_total{function_name="hello",code="200"}',
                 'gateway_functions_seconds_bucket{function_name="hello"',
                 'gateway_service_count{function_name="hello"} 1',
                 'gateway_function_cold_start_seconds_count{function_name="hello",phase="boot"}'):
        t.true(name in text, name)
    with open(os.path.join(t.ROOT, 'docs', 'grafana.json'), encoding='utf-8') as f:
        shown = set(re.findall(r'gateway_\w+', f.read()))
    for name in shown:
        t.true('\n' + name + '{' in text, 'the dashboard shows what is there: ' + name)
    t.need('promtool')
    p = t.execute(['promtool', 'check', 'metrics'], stdin=r.body)
    # gateway_service_count is OpenFaaS' name: promtool dislikes its ending, and nothing else
    left = [x for x in p.err.decode().split('\n') + p.text.split('\n')
            if x and not x.startswith(('gateway_service_count ',
                                       'gateway_function_invocation_started '))]
    t.equal(left, [], 'promtool')


g.main(G)
