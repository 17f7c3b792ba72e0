#!/usr/bin/python3
"""leat bench coldstart: how long a call waits when its function has no instance.

From the request at the gateway to the first byte of the answer, in milliseconds, for the functions
of apps/functions. Each in turns:

    LANG_clone      an instance is cloned from the function's template
    LANG_start      the program starts in full, in an instance
    LANG_warm       an instance is there
    python_clone_burst   many calls at once, each for an instance of its own: median, p99, last
    python_clone_private KiB of memory that is only the clone's after its first answer

LANG_*.leat are Leat's; LANG_*.native a process started for the request, spoken to directly.
"""
import argparse
import json
import os
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.realpath(__file__))
LANGUAGES = ['c', 'python', 'node', 'java']
COMMANDS = {'c': ['./server'], 'python': ['/usr/bin/python3', 'app.py'], 'node': ['node', 'app.js'],
            'java': ['java', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xshare:auto',
                     'Server']}
CASES = [x + y for x in LANGUAGES for y in ('_clone', '_start', '_warm')] + [
    'python_clone_burst', 'python_clone_private']
PATIENCE = 60


class Failed(Exception):
    """The benchmark cannot go on; its text is for the user."""


def until(predicate, what, patience=PATIENCE):
    end = time.monotonic() + patience
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed('not within %d s: %s' % (patience, what))
        time.sleep(0.02)


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def ask(sock, path):
    """Milliseconds from the request to the first byte of the answer, which must be a 200."""
    start = time.perf_counter()
    sock.sendall(b'GET %s HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n' % path.encode())
    data = sock.recv(65536)
    took = (time.perf_counter() - start) * 1e3
    if not data.startswith((b'HTTP/1.1 200', b'HTTP/1.0 200')):
        raise Failed('answer: %r' % data[:200])
    return took


class Bench:
    def __init__(self, args):
        self.args, self.figures = args, []
        self.exe = os.environ['LEAT_EXE']
        self.dir = tempfile.mkdtemp(prefix='leat-bench-')
        os.chmod(self.dir, 0o755)
        self.env = dict(os.environ, LEAT_STATE_DIR=os.path.join(self.dir, 'state'),
                        LEAT_NETNS='leat-bench-%d' % os.getpid())
        os.mkdir(self.env['LEAT_STATE_DIR'], 0o700)
        self.port, self.gateway = free_port(), None

    def __enter__(self):
        gateway = os.path.join(HERE, 'leat-gateway')
        if not os.path.exists(gateway):
            raise Failed('leat-gateway is not beside the benchmark')
        self.gateway = subprocess.Popen([gateway, '--listen', str(self.port)], env=self.env,
                                        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self.listens, 'the gateway listens')
        return self

    def __exit__(self, *exc):
        if self.gateway is not None:
            self.gateway.send_signal(signal.SIGTERM)
            try:
                self.gateway.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.gateway.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    def listens(self):
        try:
            self.connect().close()
            return True
        except OSError:
            return False

    def connect(self):
        return socket.create_connection(('127.0.0.1', self.port), PATIENCE)

    def leat(self, *argv):
        r = subprocess.run([self.exe, *argv], env=self.env, capture_output=True, timeout=PATIENCE,
                           text=True, check=False)
        if r.returncode != 0:
            raise Failed('leat %s: %s' % (argv[0], r.stderr.strip()))
        return r.stdout

    def function(self, name):
        return next(f for f in json.loads(self.leat('functions', '--json')) if f['name'] == name)

    def wants(self, case):
        return not self.args.only or case in self.args.only.split(',')

    def figure(self, name, value, unit):
        self.figures.append({'name': name, 'value': value, 'unit': unit})
        if not self.args.json:
            print('%s %s %s' % (name, '%.4g' % value, unit), flush=True)

    # ---- functions ----

    def source(self, language):
        """A folder with the function, compiled where it has to be; None: cannot be had here."""
        path = os.path.join(self.dir, language)
        functions = next((p for p in (os.path.join(HERE, 'functions'), os.path.join(
            HERE, '..', '..', 'apps', 'functions')) if os.path.isdir(p)), None)
        if functions is None:
            raise Failed('the example functions are not there')
        shutil.copytree(os.path.join(functions, language), path)
        build = {'c': ['cc', '-O2', '-static', '-o', 'server', 'server.c'],
                 'java': ['javac', 'Server.java']}.get(language)
        program = COMMANDS[language][0]
        if (build and not shutil.which(build[0])) or (
                not program.startswith('./') and not shutil.which(program)):
            return None
        if build:
            subprocess.run(build, cwd=path, check=True, stderr=subprocess.DEVNULL)
        return path

    def deploy(self, language, name, path, *lines):
        with open(os.path.join(path, 'f.yaml'), 'w', encoding='ascii') as f:
            f.write('name: %s\ncommand: %s\nwarm: /\nstartup: 60s\ntimeout: 60s\n%s' % (
                name, json.dumps(COMMANDS[language]), ''.join(x + '\n' for x in lines)))
        self.leat('deploy', path)
        if 'template: true' in lines:
            until(lambda: self.function(name)['template']['state'] in ('ready', 'none'),
                  'the template of ' + name)
            template = self.function(name)['template']
            if template['state'] != 'ready':
                raise Failed('%s has no template: %s' % (name, template['reason']))

    def call(self, name):
        with self.connect() as sock:
            took = ask(sock, '/function/' + name)
            while sock.recv(65536):  # the gateway closes when the answer is complete
                pass
            return took

    def idle(self, name):
        until(lambda: not self.function(name)['instances'], name + ' has no instance')

    def cold(self, name):
        self.idle(name)
        return self.call(name)

    def native(self, language, path):
        """A process started for the request."""
        port = free_port()
        start = time.perf_counter()
        p = subprocess.Popen(COMMANDS[language], cwd=path, env=dict(os.environ, PORT=str(port)),
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        try:
            while True:
                try:
                    sock = socket.create_connection(('127.0.0.1', port), 10)
                    break
                except OSError:
                    if p.poll() is not None or time.perf_counter() - start > PATIENCE:
                        raise Failed('%s does not start natively' % language) from None
                    time.sleep(0.0002)
            with sock:
                ask(sock, '/')
                return (time.perf_counter() - start) * 1e3
        finally:
            p.kill()
            p.wait()

    # ---- cases ----

    def report(self, name, samples):
        self.figure(name, statistics.median(samples), 'ms')
        self.figure(name + '_p99', sorted(samples)[int(len(samples) * 0.99)], 'ms')

    def language(self, language):
        path = self.source(language)
        if path is None:
            print('%s: skipped, not installed' % language, file=sys.stderr)
            return
        turns = 5 if self.args.quick else 15
        name = 'bench-' + language
        self.deploy(language, name + '-clone', path, 'keepwarm: none', 'template: true')
        self.deploy(language, name + '-start', path, 'keepwarm: none')
        samples = {'clone': [], 'start': [], 'warm': [], 'native': []}
        for _ in range(turns):
            samples['clone'].append(self.cold(name + '-clone'))
            samples['start'].append(self.cold(name + '-start'))
            samples['native'].append(self.native(language, path))
        self.deploy(language, name + '-warm', path, 'keepwarm: fixed', 'idle: 60s')
        self.call(name + '-warm')
        samples['warm'] = [self.call(name + '-warm') for _ in range(turns * 4)]
        for kind in ('clone', 'start', 'warm'):
            case = '%s_%s' % (language, kind)
            if not self.wants(case):
                continue
            self.report(case + '.leat', samples[kind])
            if kind != 'warm':
                self.report(case + '.native', samples['native'])
                self.figure(case + '.ratio', statistics.median(samples['native']) /
                            statistics.median(samples[kind]), 'x')

    def burst(self, path, n):
        self.deploy('python', 'bench-burst', path, 'keepwarm: none', 'template: true',
                    'concurrency: 1',
                    'max: %d' % n, 'queue: %d' % n, 'delay: 1ms')
        request = b'GET /function/bench-burst HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n'
        socks = [self.connect() for _ in range(n)]
        start, waiting, took = time.perf_counter(), {}, []
        for s in socks:
            s.sendall(request)
            waiting[s.fileno()] = s
        poll = select.epoll()
        for fd in waiting:
            poll.register(fd, select.EPOLLIN)
        while waiting:
            for fd, _ in poll.poll(PATIENCE):
                data = waiting.pop(fd).recv(65536)
                poll.unregister(fd)
                took.append((time.perf_counter() - start) * 1e3)
                if b' 200 ' not in data[:16]:
                    raise Failed('answer: %r' % data[:200])
        for s in socks:
            s.close()
        case = 'python_clone_burst%d' % n
        self.report(case + '.leat', took)
        self.figure(case + '.leat_last', max(took), 'ms')

    def private(self, path):
        self.deploy('python', 'bench-private', path, 'keepwarm: fixed', 'idle: 60s',
                    'template: true')
        self.call('bench-private')
        kib = 0
        for inst in json.loads(self.leat('ps', '--json')):
            if not inst['name'].startswith('bench-private-'):
                continue
            with open('/proc/%d/smaps_rollup' % inst['pid'], encoding='ascii') as f:
                kib = sum(int(x.split()[1]) for x in f if x.startswith('Private_Dirty'))
        self.figure('python_clone_private.leat', kib, 'KiB')


def measure(bench):
    for language in LANGUAGES:
        if any(bench.wants('%s_%s' % (language, k)) for k in ('clone', 'start', 'warm')):
            bench.language(language)
    path = os.path.join(bench.dir, 'python')
    if not os.path.exists(path) and (bench.wants('python_clone_burst') or
                                     bench.wants('python_clone_private')):
        bench.source('python')
    if bench.wants('python_clone_burst'):
        bench.burst(path, 50 if bench.args.quick else 200)
    if bench.wants('python_clone_private'):
        bench.private(path)


def main():
    p = argparse.ArgumentParser(prog='leat bench coldstart', description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--json', action='store_true', help='one array instead of lines')
    p.add_argument('--quick', action='store_true', help='fewer turns')
    p.add_argument('--only', metavar='CASE,...', help='of ' + ', '.join(CASES))
    args = p.parse_args()
    if args.only and not set(args.only.split(',')) <= set(CASES):
        sys.exit('leat bench: no such case; one of ' + ', '.join(CASES))
    try:
        with Bench(args) as bench:
            measure(bench)
            if args.json:
                json.dump(bench.figures, sys.stdout, indent=1)
                print()
    except Failed as e:
        print('leat bench: %s' % e, file=sys.stderr)
        sys.exit(1)


main()
