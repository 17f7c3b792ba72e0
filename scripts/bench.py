#!/usr/bin/python3
"""Benchmarks: native and Leat alternate in one run; medians; one line a figure.

    CASE.native V UNIT        CASE.leat V UNIT        CASE.ratio V x     (above 1: Leat is better)

Measured under the defaults of `leat run` (filter, seccomp, own uid), which is checked; --json
prints the same as one array, --only CASE,... selects, --quick shortens. The cases:

    getpid      ns of a trivial system call through a rewritten site
    start       us from the command to the program's first instructions (leatd runs already)
    set50 get50 redis-benchmark, 50 clients, no pipeline: requests per second
    get1        the same with 1 client
    memory      KiB of the host's memory that each of N idle instances takes
    hostcalls   host calls a redis request, seen by strace from outside (needs strace)
"""
import argparse
import csv
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'tests'))
ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), '..'))

ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
ap.add_argument('--build', default=os.path.join(ROOT, 'build'))
ap.add_argument('--only', default='')
ap.add_argument('--quick', action='store_true')
ap.add_argument('--json', action='store_true')
ARGS = ap.parse_args()
os.environ['LEAT_BUILD'] = ARGS.build
import leat_test as t  # noqa: E402

APPS = os.path.join(t.BUILD, 'apps')
RUNS = 3 if ARGS.quick else 5
REQUESTS = 20000 if ARGS.quick else 200000
SERVER_IP = '10.99.3.3'
REDIS = ['/usr/bin/redis-server', '--save', '', '--protected-mode', 'no']
FIGURES = []


def figure(name, value, unit):
    FIGURES.append({'name': name, 'value': value, 'unit': unit})
    if not ARGS.json:
        print('%s %s %s' % (name, '%.4g' % value if value < 1000 else '%.0f' % value, unit),
              flush=True)


def progress(text):
    print('bench: ' + text, file=sys.stderr, flush=True)


def report(case, native, leat, unit, more_is_better):
    """Medians, spread and ratio of two lists."""
    n, m = statistics.median(native), statistics.median(leat)
    figure(case + '.native', n, unit)
    figure(case + '.leat', m, unit)
    figure(case + '.ratio', (m / n if more_is_better else n / m), 'x')


def cpu_seconds():
    """Busy time of all cores together."""
    with open('/proc/stat') as f:
        v = [int(x) for x in f.readline().split()[1:]]
    return (sum(v) - v[3] - v[4]) / os.sysconf('SC_CLK_TCK')


def program(name):
    """A copy that instances can read."""
    path = os.path.join(t.WORK, name)
    if not os.path.exists(path):
        with open(os.path.join(APPS, name), 'rb') as f:
            t.write_file(path, f.read(), 0o755)
    return path


def getpid():
    argv = [program('bench-getpid'), '200000' if ARGS.quick else '1000000']
    native, leat = [], []
    for _ in range(RUNS):
        native.append(float(t.ok(t.execute(argv)).out))
        leat.append(float(t.ok(t.leat(argv)).out))
    report('getpid', native, leat, 'ns', False)


def started_us(argv):
    begin = time.monotonic_ns()
    r = t.ok(t.execute(argv))
    return (int(r.out) - begin) / 1000


def start():
    path = program('bench-first')
    t.ok(t.leat([path]))
    native, leat = [], []
    for _ in range(RUNS * 4):
        native.append(started_us([path]))
        leat.append(started_us(t.leat_argv([path])))
    report('start', native, leat, 'us', False)
    figure('start.native_max', max(native), 'us')
    figure('start.leat_max', max(leat), 'us')


class NativeRedis:
    """redis-server on the host's loopback, with the instance's options."""

    def __enter__(self):
        s = socket.socket()
        s.bind(('127.0.0.1', 0))
        self.port = s.getsockname()[1]
        s.close()
        self.proc = t.popen(REDIS + ['--port', str(self.port)], stdout=subprocess.DEVNULL)
        self.client = ['/usr/bin/redis-benchmark', '-h', '127.0.0.1', '-p', str(self.port)]
        t.until(lambda: t.execute(['redis-cli', '-p', str(self.port), 'ping']).code == 0, 'redis')
        self.pid = self.proc.pid
        return self

    def __exit__(self, *exc):
        self.proc.terminate()
        self.proc.wait()

    def run(self, args):
        return t.execute(self.client + args, timeout=300)


class LeatRedis:
    """redis-server in an instance; the client is in another one."""

    def __enter__(self):
        t.ok(t.cli('run', '-d', '--name', 'bench-redis', '--ip', SERVER_IP, '--', *REDIS))
        self.client = ['/usr/bin/redis-benchmark', '-h', SERVER_IP]
        t.until(lambda: t.leat(['/usr/bin/redis-cli', '-h', SERVER_IP, 'ping']).out == b'PONG\n',
                'redis in an instance')
        check_defaults()
        return self

    def __exit__(self, *exc):
        t.cli('kill', 'bench-redis')
        t.until(lambda: t.cli('rm', 'bench-redis').code == 0, 'rm')

    def run(self, args):
        return t.leat(self.client + args, timeout=300)


def instance_pids():
    """Host processes of instances: they have a uid that is not ours."""
    for pid in t.processes():
        try:
            with open('/proc/%d/status' % pid) as f:
                s = dict(line.rstrip('\n').split(':\t', 1) for line in f if ':\t' in line)
        except OSError:
            continue
        if s['Uid'].split()[0] != '0':
            yield pid, s


def check_defaults():
    """The figures count only with everything on."""
    found = [s for _, s in instance_pids()]
    if not found or any(s['Seccomp'] != '2' or s['NoNewPrivs'] != '1' for s in found):
        raise SystemExit('bench: an instance runs without seccomp, uid or no_new_privs')
    info = t.ok(t.cli('inspect', 'bench-redis', '--json')).text
    if 'filter' not in info:
        raise SystemExit('bench: leat inspect names no filter')


def redis_once(side, test, clients):
    """(requests per second, p99 in ms, CPU us a request)"""
    busy = cpu_seconds()
    r = t.ok(side.run(['-c', str(clients), '-n', str(REQUESTS if clients > 1 else REQUESTS // 4),
                       '-t', test, '--csv']))
    busy = cpu_seconds() - busy
    rows = list(csv.reader(r.text.strip().split('\n')))
    head, row = rows[0], rows[-1]
    n = REQUESTS if clients > 1 else REQUESTS // 4
    return (float(row[1]), float(row[head.index('p99_latency_ms')]), busy * 1e6 / n,
            float(row[head.index('max_latency_ms')]))


def redis(cases):
    with NativeRedis() as native, LeatRedis() as leat:
        for case in cases:
            test, clients = case[:3], int(case[3:])
            results = {native: [], leat: []}
            for _ in range(RUNS):
                for side in (native, leat):
                    results[side].append(redis_once(side, test, clients))
            n, m = results[native], results[leat]
            report(case, [r[0] for r in n], [r[0] for r in m], 'req/s', True)
            p99 = [statistics.median(r[1] for r in x) for x in (n, m)]
            figure(case + '.native_p99', p99[0], 'ms')
            figure(case + '.leat_p99', p99[1], 'ms')
            figure(case + '.p99_ratio', p99[0] / p99[1] if p99[1] else 0, 'x')
            figure(case + '.native_max', max(r[3] for r in n), 'ms')
            figure(case + '.leat_max', max(r[3] for r in m), 'ms')
            figure(case + '.native_cpu', statistics.median(r[2] for r in n), 'us/req')
            figure(case + '.leat_cpu', statistics.median(r[2] for r in m), 'us/req')


def available_kib():
    with open('/proc/meminfo') as f:
        return int(re.search(r'MemAvailable:\s+(\d+)', f.read()).group(1))


def settle():
    time.sleep(1.5)
    return available_kib()


def memory_of(count, start_one, stop_all):
    t.ok(t.leat(['/bin/true']))
    before = settle()
    for i in range(count):
        start_one(i)
    used = before - settle()
    stop_all()
    return used / count


def memory():
    path = program('bench-idle')
    procs = []

    def native_stop():
        for p in procs:
            p.kill()
            p.wait()
        procs.clear()

    def leat_start(i):
        t.ok(t.cli('run', '-d', '--name', 'idle%d' % i, '--', path))

    def leat_stop():
        names = ['idle%d' % i for i in range(count)]
        for n in names:
            t.cli('kill', n)
        for n in names:
            t.until(lambda n=n: t.cli('rm', n).code == 0, 'rm ' + n)

    for count in (1, 20 if ARGS.quick else 100):
        case = 'memory%d' % count
        native = [memory_of(count, lambda i: procs.append(t.popen([path])), native_stop)]
        leat = [memory_of(count, leat_start, leat_stop)]
        figure(case + '.native', native[0], 'KiB')
        figure(case + '.leat', leat[0], 'KiB')
        figure(case + '.ratio', native[0] / leat[0] if leat[0] > 0 else 0, 'x')


def strace_calls(pid, side):
    """Host calls of one process and its threads a request, while it serves."""
    out = os.path.join(t.WORK, 'strace.out')
    n = 5000
    s = subprocess.Popen(['strace', '-c', '-f', '-o', out, '-p', str(pid)],
                         stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    t.ok(side.run(['-c', '50', '-n', str(n), '-t', 'get', '-q']))
    s.send_signal(signal.SIGINT)
    s.wait()
    with open(out) as f:
        total = re.search(r'^\s*100\.00\s+[\d.]+\s+\d*\s+(\d+)\s', f.read(), re.M)
    return int(total.group(1)) / n if total else 0


def hostcalls():
    with NativeRedis() as native, LeatRedis() as leat:
        pids = [pid for pid, _ in instance_pids()]
        a = strace_calls(native.pid, native)
        b = strace_calls(pids[0], leat)
        figure('hostcalls.native', a, 'calls/req')
        figure('hostcalls.leat', b, 'calls/req')
        figure('hostcalls.ratio', a / b if b else 0, 'x')


def main():
    wanted = ARGS.only.split(',') if ARGS.only else []

    def want(name):
        return not wanted or any(name == w or name.startswith(w) for w in wanted)

    cases = [c for c in ('set50', 'get50', 'get1')
             if want(c) or 'redis' in wanted]
    try:
        if want('getpid'):
            progress('getpid')
            getpid()
        if want('start'):
            progress('start')
            start()
        if cases:
            progress('redis: ' + ' '.join(cases))
            redis(cases)
        if want('memory'):
            progress('memory')
            memory()
        if want('hostcalls'):
            progress('hostcalls')
            hostcalls()
    except t.Failed as e:
        raise SystemExit('bench: ' + str(e)) from None
    finally:
        t.finish()
    if ARGS.json:
        json.dump(FIGURES, sys.stdout, indent=1)
        print()


main()
