#!/usr/bin/python3
"""leat bench apps: Debian's servers and large runtimes under Debian's load generators."""
import csv
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from bench_harness import Sample, Server, main  # noqa: E402

REQUESTS = 200000
VALUE_BYTES = 100
FILE_BYTES = 1024
CASES = ['redis_get_c1', 'redis_get_c50', 'redis_get_c500', 'redis_set_c50', 'redis_get_c50_p16',
         'memcached_c50', 'nginx_c50', 'nginx_close_c50', 'go_c50', 'node_c50', 'python_c50',
         'java_c50']

GO = '''package main

import (
	"net/http"
	"os"
)

func main() {
	body := []byte(os.Args[2])
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { w.Write(body) })
	panic(http.ListenAndServe("0.0.0.0:"+os.Args[1], nil))
}
'''

NODE = '''
const http = require("http"), body = "x".repeat(1024);
http.createServer((q, r) => r.end(body)).listen(+process.argv[1], "0.0.0.0");
'''

PYTHON = '''
import asyncio, sys
BODY = b"x" * 1024
HEAD = b"HTTP/1.1 200 OK\\r\\nContent-Length: 1024\\r\\nContent-Type: text/plain\\r\\n\\r\\n"
class Http(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.seen = transport, b""
    def data_received(self, data):
        self.seen += data
        while b"\\r\\n\\r\\n" in self.seen:
            _, self.seen = self.seen.split(b"\\r\\n\\r\\n", 1)
            self.transport.write(HEAD + BODY)
async def serve():
    server = await asyncio.get_running_loop().create_server(Http, "0.0.0.0", int(sys.argv[1]))
    await server.serve_forever()
asyncio.run(serve())
'''

JAVA = '''
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;

public class Serve {
	public static void main(String[] args) throws Exception {
		byte[] body = "x".repeat(1024).getBytes();
		int port = Integer.parseInt(args[0]);
		HttpServer server = HttpServer.create(new InetSocketAddress("0.0.0.0", port), 1024);
		server.createContext("/", e -> {
			e.sendResponseHeaders(200, body.length);
			e.getResponseBody().write(body);
			e.close();
		});
		server.start();
	}
}
'''

NGINX = '''
user root; worker_processes 2; daemon off; pid /tmp/leat-bench/pid.%(port)s;
error_log stderr warn;
events { worker_connections 1024; }
http {
	access_log off; keepalive_requests 1000000000; sendfile on; tcp_nopush on;
	client_body_temp_path /tmp/leat-bench/b; proxy_temp_path /tmp/leat-bench/p;
	fastcgi_temp_path /tmp/leat-bench/f; uwsgi_temp_path /tmp/leat-bench/u;
	scgi_temp_path /tmp/leat-bench/s;
	server { listen 0.0.0.0:%(port)s backlog=1024; root %(html)s; }
}
'''


def write(path, text):
    with open(path, 'w') as f:
        f.write(text)
    os.chmod(path, 0o644)
    return path


def redis(bench, test, clients, extra=()):
    n = REQUESTS // (10 if bench.args.quick else 1) // (4 if clients == 1 else 1)

    def run(side):
        _, out = side.run(['/usr/bin/redis-benchmark', '-h', side.address, '-p', str(side.port),
                           '-c', str(clients), '-n', str(n), '-t', test, '--csv', *extra])
        rows = list(csv.reader(out.strip().split('\n')))
        row = dict(zip(rows[0], rows[-1]))
        return Sample(float(row['rps']), float(row['p99_latency_ms']) * 1e3,
                      float(row['max_latency_ms']) * 1e3, n)

    return run


def memcached(bench, clients):
    value = 'v' * VALUE_BYTES
    store = r'set k 0 0 %d\r\n%s\r\n' % (VALUE_BYTES, value)
    size = len('VALUE k 0 %d\r\n%s\r\nEND\r\n' % (VALUE_BYTES, value))

    def ask(side, n, seconds, text, answer):
        return side.run([bench.program, 'rr', side.address, str(side.port), str(n), str(seconds),
                         text, str(answer)])[1].split()

    def run(side):
        ask(side, 1, 0, store, len('STORED\r\n'))
        operations, seconds, _, p99, longest = map(
            float, ask(side, clients, bench.seconds, r'get k\r\n', size))
        return Sample(operations / seconds, p99, longest, operations)

    return run


def microseconds(text):
    number, unit = re.match(r'([\d.]+)(us|ms|s)$', text).groups()
    return float(number) * {'us': 1, 'ms': 1e3, 's': 1e6}[unit]


def wrk(bench, clients, close=False):
    extra = ['-H', 'Connection: close'] if close else []

    def run(side):
        _, out = side.run(['/usr/bin/wrk', '-t1', '-c%d' % clients, '-d%ds' % bench.seconds,
                           '--latency', *extra,
                           'http://%s:%d/index.html' % (side.address, side.port)])
        if 'Non-2xx' in out:
            raise SystemExit('leat bench: the server refuses: ' + out)
        rate = float(re.search(r'Requests/sec:\s+([\d.]+)', out).group(1))
        p99 = microseconds(re.search(r'99%\s+(\S+)', out).group(1))
        longest = microseconds(re.search(r'Latency\s+\S+\s+\S+\s+(\S+)', out).group(1))
        count = int(re.search(r'(\d+) requests in', out).group(1))
        return Sample(rate, p99, longest, count)

    return run


def nginx_server(bench):
    os.makedirs(bench.work + '/html', exist_ok=True)
    os.chmod(bench.work + '/html', 0o755)
    write(bench.work + '/html/index.html', 'x' * FILE_BYTES)
    # {port} is known only when a side starts: a shell makes the file
    text = NGINX % {'html': bench.work + '/html', 'port': '{port}'}
    script = "mkdir -p /tmp/leat-bench; cat > /tmp/leat-bench/nginx.{port} <<'END'\n" + text + \
        "END\nexec /usr/sbin/nginx -c /tmp/leat-bench/nginx.{port}"
    return Server(['/bin/sh', '-c', script], 8080, uses=('nginx', 'wrk'))


def go_server(bench):
    source = write(bench.work + '/serve.go', GO)
    out = bench.work + '/serve-go'
    env = dict(bench.env, GOCACHE=bench.work + '/gocache', GO111MODULE='off', HOME=bench.work)
    saved, bench.env = bench.env, env
    try:
        bench.execute(['go', 'build', '-o', out, source], True, 300)
    finally:
        bench.env = saved
    return Server([out, '{port}', 'x' * FILE_BYTES], 8081, uses=('wrk',))


def java_server(bench):
    source = write(bench.work + '/Serve.java', JAVA)
    bench.execute(['javac', '-d', bench.work, source], True, 300)
    return Server(['/usr/bin/java', '-cp', bench.work, 'Serve', '{port}'], 8084, uses=('wrk',))


def measure(bench):
    bench.serve(Server(['/usr/bin/redis-server', '--save', '', '--protected-mode', 'no', '--port',
                        '{port}', '--bind', '0.0.0.0'], 6379,
                       uses=('redis-server', 'redis-benchmark')), [
        ('redis_get_c1', redis(bench, 'get', 1), 'req/s'),
        ('redis_get_c50', redis(bench, 'get', 50), 'req/s'),
        ('redis_get_c500', redis(bench, 'get', 500), 'req/s'),
        ('redis_set_c50', redis(bench, 'set', 50), 'req/s'),
        ('redis_get_c50_p16', redis(bench, 'get', 50, ('-P', '16')), 'req/s'),
    ])
    bench.serve(Server(['/usr/bin/memcached', '-u', 'nobody', '-l', '0.0.0.0', '-p', '{port}',
                        '-t', '2'], 11211, uses=('memcached',)),
                [('memcached_c50', memcached(bench, 50), 'req/s')])
    http = wrk(bench, 50)
    bench.serve(nginx_server(bench), [
        ('nginx_c50', http, 'req/s'),
        ('nginx_close_c50', wrk(bench, 50, close=True), 'req/s'),
    ])
    for case, tool, make in (
            ('go_c50', 'go', go_server),
            ('node_c50', 'node', lambda b: Server(['/usr/bin/node', '-e', NODE, '{port}'], 8082,
                                                  uses=('wrk',))),
            ('python_c50', 'python3', lambda b: Server(
                ['/usr/bin/python3', '-c', PYTHON, '{port}'], 8083, uses=('wrk',))),
            ('java_c50', 'javac', java_server)):
        if not bench.wants(case):
            continue
        if bench.execute(['/bin/sh', '-c', 'command -v ' + tool], False, 30)[0]:
            bench.skip([(case, None, None)], tool + ' not installed')
            continue
        bench.serve(make(bench), [(case, http, 'req/s')])


main('apps', CASES, __doc__, measure)
