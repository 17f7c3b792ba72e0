"""What the benchmarks of servers and clients share: `leat bench net` and `leat bench apps`.

Native and Leat alternate in one run: the same server and the same generator, natively over loopback
and in two instances under the defaults of `leat run`, on the same two cores. One line a figure:

    CASE.native V UNIT   CASE.leat V UNIT   CASE.ratio V x       medians; above 1, Leat is better
    CASE.native_p99, CASE.leat_p99, CASE.p99_ratio               medians of the runs' p99, in us
    CASE.native_max, CASE.leat_max                               the longest operation of all runs
    CASE.native_cpu, CASE.leat_cpu                               CPU time of everybody, us an operation

The run fails if a default is off: filter, seccomp, no_new_privs, uid, capabilities, limits.
"""
import argparse
import json
import os
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.realpath(__file__))
CORES = 2
SERVER_IP = '10.99.3.3'
TICKS = os.sysconf('SC_CLK_TCK')


class Failed(Exception):
    """The benchmark cannot go on; its text is for the user."""


class Sample:
    """One run of a generator. p99_us, max_us: None if it has no such thing."""

    def __init__(self, rate, p99_us=None, max_us=None, operations=0):
        self.rate, self.p99_us, self.max_us = rate, p99_us, max_us
        self.operations = operations
        self.cpu_us = None


class Server:
    """A server on one of the two sides.

    argv: the program, where {port} stands for the port that it shall listen on; instances have an
    address of their own, so there it is always `port`. probe(address, port): true when it serves.
    """

    def __init__(self, argv, port, probe=None, uses=()):
        self.argv, self.port, self.probe, self.uses = argv, port, probe, uses


def tcp_probe(bench, side):
    """Does somebody accept on the server's port? Asked from where its clients are."""
    code = ('import socket,sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)')
    return side.run(['/usr/bin/python3', '-c', code, side.address, str(side.port)],
                    check=False, timeout=30)[0] == 0


class Native:
    name = 'native'

    def __init__(self, bench):
        self.bench, self.address, self.proc = bench, '127.0.0.1', None

    def start(self, server):
        self.port = free_ports(server.port)
        argv = [a.replace('{port}', str(self.port)) for a in server.argv]
        self.proc = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                     stderr=self.bench.log, env=self.bench.env,
                                     cwd=self.bench.work, start_new_session=True)

    def alive(self):
        return self.proc.poll() is None

    def run(self, argv, check=True, timeout=180):
        return self.bench.execute(argv, check, timeout)

    def cpu(self):
        """Seconds of the server and its children, and of all clients that have ended."""
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime + sum(map(cpu_of, session_of(self.proc.pid)))

    def stop(self):
        if self.proc:
            end_group(self.proc)
            self.proc = None


class Leat:
    name = 'leat'

    def __init__(self, bench):
        self.bench, self.address = bench, SERVER_IP

    def start(self, server):
        self.port = server.port
        argv = [a.replace('{port}', str(server.port)) for a in server.argv]
        self.bench.leat('run', '-d', '--name', 'bench-server', '--ip', SERVER_IP, '--', *argv)

    def alive(self):
        info = json.loads(self.bench.leat('inspect', 'bench-server', '--json'))
        return info['state'] == 'running'

    def run(self, argv, check=True, timeout=180):
        return self.bench.execute([self.bench.exe, 'run', '--', *argv], check, timeout)

    def cpu(self):
        """Seconds of leatd, the launcher, all instances that are there and those that were."""
        return sum(cpu_of(pid, children=True) for pid in self.bench.processes())

    def stop(self):
        self.bench.leat('kill', 'bench-server', check=False)
        for _ in range(200):
            if self.bench.execute([self.bench.exe, 'rm', 'bench-server'], False, 30)[0] == 0:
                return
            time.sleep(0.05)


def free_ports(like, room=32):
    """A port below the ephemeral range with `room` free ones behind it."""
    for base in range(10000 + like % 1000, 32000, 101):
        try:
            for port in (base, base + room // 2, base + room - 1):
                with socket.socket() as s:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    s.bind(('127.0.0.1', port))
            return base
        except OSError:
            continue
    raise Failed('no free ports')


def stat_of(pid):
    with open('/proc/%d/stat' % pid) as f:
        return f.read().rsplit(') ', 1)[1].split()


def cpu_of(pid, children=False):
    try:
        return sum(map(int, stat_of(pid)[11:15 if children else 13])) / TICKS
    except OSError:
        return 0


def all_pids():
    return map(int, filter(str.isdigit, os.listdir('/proc')))


def session_of(leader):
    found = []
    for pid in all_pids():
        try:
            if int(stat_of(pid)[3]) == leader:
                found.append(pid)
        except OSError:
            pass
    return found


def end_group(proc):
    for sig in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(proc.pid, sig)
        except ProcessLookupError:
            pass
        try:
            proc.wait(5)
            return
        except subprocess.TimeoutExpired:
            pass


class Bench:
    def __init__(self, suite, cases, describe):
        ap = argparse.ArgumentParser(
            prog='leat bench ' + suite, description=describe + '\n\n' + __doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter)
        ap.add_argument('--only', default='', metavar='CASE,...', help='of: ' + ' '.join(cases))
        ap.add_argument('--quick', action='store_true', help='fewer and shorter runs')
        ap.add_argument('--json', action='store_true', help='one array instead of lines')
        self.args = ap.parse_args()
        self.wanted = [c for c in self.args.only.split(',') if c]
        unknown = [c for c in self.wanted if c not in cases]
        if unknown:
            ap.error('no case ' + ', '.join(unknown))
        self.runs = 3 if self.args.quick else 5
        self.seconds = 1 if self.args.quick else 3
        self.figures, self.skipped = [], []
        self.exe = os.environ.get('LEAT_EXE') or os.path.join(HERE, 'leat')
        self.program = os.path.join(HERE, 'bench-net')

    def wants(self, case):
        return not self.wanted or case in self.wanted

    # ---- the surroundings ----

    def __enter__(self):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, allowed[:CORES])
        self.state = tempfile.mkdtemp(prefix='leat-bench-')
        self.work = tempfile.mkdtemp(prefix='leat-bench-work-')
        os.chmod(self.work, 0o755)
        self.env = dict(os.environ, LEAT_STATE_DIR=self.state, LC_ALL='C', HOME='/',
                        LEAT_NETNS='leat-b%d' % os.getpid(),
                        PATH='/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin')
        self.log = open(os.path.join(self.state, 'native.log'), 'wb')
        return self

    def __exit__(self, *exc):
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        subprocess.run(['ip', 'netns', 'del', self.env['LEAT_NETNS']], check=False,
                       stderr=subprocess.DEVNULL)
        self.log.close()
        shutil.rmtree(self.state, ignore_errors=True)
        shutil.rmtree(self.work, ignore_errors=True)

    def processes(self):
        """leatd by its lock file, and all below it."""
        try:
            with open(os.path.join(self.state, 'lock')) as f:
                found = {int(f.read())}
        except (OSError, ValueError):
            return []
        parents = {}
        for pid in all_pids():
            try:
                parents[pid] = int(stat_of(pid)[1])
            except OSError:
                pass
        more = True
        while more:
            more = {p for p, up in parents.items() if up in found} - found
            found |= more
        return sorted(found)

    def execute(self, argv, check, timeout):
        """(exit code, output) of a command."""
        try:
            r = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=self.env, cwd=self.work,
                               timeout=timeout, check=False)
        except subprocess.TimeoutExpired:
            raise Failed('no end after %g s: %s' % (timeout, ' '.join(argv))) from None
        if check and r.returncode:
            raise Failed('exit %d: %s\n%s' % (r.returncode, ' '.join(argv),
                                              (r.stderr or r.stdout).decode(errors='replace')))
        return r.returncode, r.stdout.decode(errors='replace')

    def leat(self, *args, check=True):
        return self.execute([self.exe, *args], check, 60)[1]

    # ---- what is claimed is on ----

    def check_defaults(self):
        info = json.loads(self.leat('inspect', 'bench-server', '--json'))
        status = proc_status(info['pid'])
        limits = open('/proc/%d/limits' % info['pid']).read()
        packets = info['packets']
        off = [what for what, on in (
            ('the default filter', info.get('filter') == 'default'),
            ('seccomp', status['Seccomp'] == '2'),
            ('no_new_privs', status['NoNewPrivs'] == '1'),
            ('a uid of its own', '0' not in status['Uid'].split()),
            ('no capabilities', int(status['CapEff'], 16) == 0),
            ('limits of processes', 'Max processes             unlimited' not in limits),
            ('a filtered queue', packets['ingress_runs'] > 0 and packets['egress_runs'] > 0),
            ('a release build', not self.sanitized()),
        ) if not on]
        if off:
            raise Failed('a default of leat run is off: ' + ', '.join(off))

    def sanitized(self):
        """Does any of Leat's programs run with a sanitizer?"""
        for pid in self.processes():
            with open('/proc/%d/maps' % pid) as f:
                if any(lib in line for line in f for lib in ('libasan', 'libtsan', 'libubsan')):
                    return True
        return False

    # ---- cases ----

    def serve(self, server, cases):
        """Runs cases [(name, generate(side) -> Sample, unit)] against one server on each side."""
        cases = [c for c in cases if self.wants(c[0])]
        if not cases:
            return
        missing = [p for p in server.uses if not shutil.which(p, path=self.env['PATH'])]
        if missing:
            self.skip(cases, ', '.join(missing) + ' not installed')
            return
        sides = [Native(self), Leat(self)]
        try:
            for side in sides:
                side.start(server)
                self.await_server(server, side)
            self.check_defaults()
            for name, generate, unit in cases:
                self.case(name, generate, unit, sides)
        finally:
            for side in sides:
                side.stop()

    def skip(self, cases, why):
        for name, _, _ in cases:
            self.skipped.append(name)
            print('bench: %s: not measured: %s' % (name, why), file=sys.stderr, flush=True)

    def await_server(self, server, side):
        for _ in range(100):
            if (server.probe or tcp_probe)(self, side):
                return
            if not side.alive():
                break
            time.sleep(0.2)
        log = self.leat('logs', 'bench-server', check=False) if side.name == 'leat' else ''
        raise Failed('the %s server does not serve: %s\n%s' % (side.name, server.argv[0], log))

    def case(self, name, generate, unit, sides):
        print('bench: ' + name, file=sys.stderr, flush=True)
        samples = {side.name: [] for side in sides}
        for turn in range(self.runs):
            for side in sides if turn % 2 == 0 else reversed(sides):
                before = side.cpu()
                sample = generate(side)
                if sample.operations:
                    sample.cpu_us = (side.cpu() - before) * 1e6 / sample.operations
                samples[side.name].append(sample)
        self.report(name, samples, unit)

    def report(self, name, samples, unit):
        def median(side, field):
            return statistics.median(getattr(s, field) for s in samples[side])

        rates = [median(side, 'rate') for side in ('native', 'leat')]
        self.figure(name + '.native', rates[0], unit)
        self.figure(name + '.leat', rates[1], unit)
        self.figure(name + '.ratio', rates[1] / rates[0] if rates[0] else 0, 'x')
        if all(s.p99_us is not None for side in samples.values() for s in side):
            p99 = [median(side, 'p99_us') for side in ('native', 'leat')]
            self.figure(name + '.native_p99', p99[0], 'us')
            self.figure(name + '.leat_p99', p99[1], 'us')
            self.figure(name + '.p99_ratio', p99[0] / p99[1] if p99[1] else 0, 'x')
        for side in ('native', 'leat'):
            if all(s.max_us is not None for s in samples[side]):
                self.figure('%s.%s_max' % (name, side), max(s.max_us for s in samples[side]), 'us')
            if all(s.cpu_us is not None for s in samples[side]):
                self.figure('%s.%s_cpu' % (name, side), median(side, 'cpu_us'), 'us')

    def figure(self, name, value, unit):
        self.figures.append({'name': name, 'value': value, 'unit': unit})
        if not self.args.json:
            print('%s %s %s' % (name, '%.4g' % value if value < 1000 else '%.0f' % value, unit),
                  flush=True)

    def finish(self):
        if self.args.json:
            json.dump(self.figures, sys.stdout, indent=1)
            print()
        return 1 if not self.figures or (self.wanted and self.skipped) else 0


def proc_status(pid):
    with open('/proc/%d/status' % pid) as f:
        return dict(line.rstrip('\n').split(':\t', 1) for line in f if ':\t' in line)


def main(suite, cases, describe, measure):
    """measure(bench) runs the cases that bench.wants(); the exit code is the process's."""
    bench = Bench(suite, cases, describe)
    try:
        with bench:
            measure(bench)
        sys.exit(bench.finish())
    except Failed as e:
        sys.exit('leat bench: %s' % e)
    except KeyboardInterrupt:
        sys.exit(130)
