#!/usr/bin/python3
"""leat bench dpu: frames a second that one core forwards between two vhost-user ports.

    pkt64, pkt1500   frames of 64 and 1500 bytes, in Mpps: CASE.leat through both filters, switch
                     and copy of the software DPU; CASE.testpmd dpdk-testpmd that only forwards;
                     CASE.ovs Open vSwitch with DPDK and two OpenFlow rules. CASE.ovs_ratio and
                     CASE.testpmd_ratio: above 1, Leat is better.
    filter           what the default filter's two programs cost a frame, in ns

The same generator for all: one core of DPDK that sends on one virtio-user port and receives on the
other (bench-dpu). Whoever forwards has the first core, the generator the second one. Restarts
differ by up to 3x, so all are started anew for every sample, in turns; medians.
"""
import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.realpath(__file__))
GENERATOR = os.path.join(HERE, 'bench-dpu')
OVS = '/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk'
CASES = {'pkt64': 64, 'pkt1500': 1500}
FORWARD_CPU, GENERATOR_CPU = 0, 1


class Failed(Exception):
    """The benchmark cannot go on; its text is for the user."""


class Missing(Exception):
    """Something to compare with is not installed."""


def run(argv, env=None, timeout=60):
    p = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, timeout=timeout)
    if p.returncode:
        raise Failed('%s: %s' % (' '.join(argv), p.stderr.decode(errors='replace').strip()))
    return p.stdout.decode()


def until(predicate, what, seconds=20):
    for _ in range(int(seconds * 20)):
        if predicate():
            return
        time.sleep(0.05)
    raise Failed('%s did not come up' % what)


class Forwarder:
    """Two vhost-user sockets and who forwards between them, on one core."""

    def __init__(self, work):
        self.work = work
        self.procs = []
        self.sides = [[os.path.join(work, 's%d' % i), '02:00:00:00:00:0%d' % (i + 1),
                       '10.99.8.%d' % (i + 1)] for i in range(2)]

    def spawn(self, argv, env=None):
        log = open(os.path.join(self.work, 'log'), 'ab')
        self.procs.append(subprocess.Popen(['taskset', '-c', str(FORWARD_CPU), *argv], env=env,
                                           stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        log.close()

    def sockets_there(self):
        return all(os.path.exists(path) for path, _, _ in self.sides)

    def stop(self):
        for p in reversed(self.procs):
            p.send_signal(signal.SIGTERM)
        for p in reversed(self.procs):
            try:
                p.wait(10)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()


class Leat(Forwarder):
    name = 'leat'

    def start(self):
        self.exe = os.environ.get('LEAT_EXE', os.path.join(HERE, 'leat'))
        self.env = dict(os.environ, LEAT_STATE_DIR=os.path.join(self.work, 'state'),
                        LEAT_NETNS='leat-bench-%d' % os.getpid())
        leatd = shutil.which('leatd', path=os.pathsep.join(
            [os.path.dirname(self.exe), HERE, '/usr/local/sbin', '/usr/sbin']))
        if not leatd:
            raise Failed('cannot find leatd')
        self.spawn([leatd, '--state-dir', self.env['LEAT_STATE_DIR']], self.env)
        until(lambda: os.path.exists(os.path.join(self.work, 'state', 'leatd.sock')), 'leatd')
        for side in self.sides:
            line = run([self.exe, 'port', 'add', '--vhost-user', side[0]], self.env).split()
            side[1:] = [line[2], line[1]]

    def check(self):
        """Filters ran on every frame, and nothing was lost on the way through."""
        for port in json.loads(run([self.exe, 'port', 'ls', '--json'], self.env)):
            if port['filter'] != 'default' or port['limits']:
                raise Failed('the ports have no default filter, or limits')
            queue, packets = port['queues'][0], port['packets']
            if (packets['egress_runs'] < queue['tx_packets'] or
                    packets['ingress_runs'] < queue['rx_packets']):
                raise Failed('a frame passed without its filter')


class Testpmd(Forwarder):
    name = 'testpmd'

    def start(self):
        if not shutil.which('dpdk-testpmd'):
            raise Missing('dpdk-testpmd is not installed (package dpdk)')
        devices = ['--vdev=net_vhost%d,iface=%s' % (i, s[0]) for i, s in enumerate(self.sides)]
        # its command loop needs an lcore too: both on the one core, where it sleeps
        self.spawn(['dpdk-testpmd', '--lcores', '0@%d,1@%d' % (FORWARD_CPU, FORWARD_CPU),
                    '--no-huge', '-m', '256', '--no-pci', '--no-shconf', '--no-telemetry',
                    *devices, '--', '--forward-mode=io', '--auto-start', '--stats-period=100000',
                    '--total-num-mbufs=16384'])
        until(self.sockets_there, 'testpmd')
        time.sleep(0.5)

    def check(self):
        pass


class Ovs(Forwarder):
    name = 'ovs'

    def tool(self, name, *args):
        return run([name, *args], self.env)

    def vsctl(self, *args):
        self.tool('ovs-vsctl', '--no-wait', '--db=unix:' + self.db, *args)

    def start(self):
        if not os.path.exists(OVS):
            raise Missing('Open vSwitch with DPDK is not installed (package '
                          'openvswitch-switch-dpdk)')
        self.env = dict(os.environ, OVS_RUNDIR=self.work, OVS_DBDIR=self.work,
                        OVS_LOGDIR=self.work)
        self.db = os.path.join(self.work, 'db.sock')
        conf = os.path.join(self.work, 'conf.db')
        self.tool('ovsdb-tool', 'create', conf, '/usr/share/openvswitch/vswitch.ovsschema')
        self.spawn(['ovsdb-server', conf, '--remote=punix:' + self.db], self.env)
        until(lambda: os.path.exists(self.db), 'ovsdb-server')
        self.vsctl('init')
        for option in ('dpdk-init=true', 'per-port-memory=true',
                       'pmd-cpu-mask=%#x' % (1 << FORWARD_CPU),
                       'dpdk-extra="--no-huge --legacy-mem -m 512 --no-pci --no-shconf '
                       '--no-telemetry"'):
            self.vsctl('set', 'Open_vSwitch', '.', 'other_config:' + option)
        self.vsctl('add-br', 'br0', '--', 'set', 'bridge', 'br0', 'datapath_type=netdev')
        for i in range(2):
            self.vsctl('add-port', 'br0', 's%d' % i, '--', 'set', 'Interface', 's%d' % i,
                       'type=dpdkvhostuser', 'ofport_request=%d' % (i + 1))
        self.spawn([OVS, 'unix:' + self.db, '--unixctl=' + os.path.join(self.work, 'ctl')],
                   self.env)
        until(self.sockets_there, 'Open vSwitch', 40)
        target = 'unix:' + os.path.join(self.work, 'br0.mgmt')
        until(lambda: os.path.exists(target[5:]), "Open vSwitch's bridge")
        self.tool('ovs-ofctl', 'del-flows', target)
        for a, b in ((1, 2), (2, 1)):
            self.tool('ovs-ofctl', 'add-flow', target, 'in_port=%d,actions=output:%d' % (a, b))

    def check(self):
        pass


def sample(kind, size, seconds):
    """One start, one measurement: Mpps."""
    work = tempfile.mkdtemp(prefix='leat-bench-dpu-')
    side = kind(work)
    try:
        side.start()
        out = run([GENERATOR, str(GENERATOR_CPU), str(size), str(seconds),
                   *side.sides[0], *side.sides[1]])
        rate = float(out.split()[0]) / 1e6
        if rate <= 0:
            raise Failed('%s forwards nothing' % side.name)
        side.check()
        return rate
    finally:
        side.stop()
        shutil.rmtree(work, ignore_errors=True)


def filter_ns(exe):
    """The two programs of the default filter, on a packet of its own benchmark: ns a frame."""
    names = [os.path.join(HERE, '..', 'bpf', 'programs', 'antispoof.bpf.o'),
             os.path.join(HERE, 'filters', 'antispoof.bpf.o'),
             os.path.join(HERE, '..', 'lib', 'leat', 'filters', 'antispoof.bpf.o')]
    path = next((n for n in names if os.path.exists(n)), None)
    if not path:
        raise Missing('cannot find the default filter')
    out = run([exe, 'bpf', 'bench', path], timeout=120)
    found = re.findall(r'^antispoof(?:_ingress)?\.leat ([0-9.]+) ns', out, re.M)
    if len(found) != 2:
        raise Missing('leat bpf bench says: ' + out.strip()[:200])
    return sum(map(float, found))


class Report:
    def __init__(self, as_json):
        self.as_json, self.lines = as_json, []

    def add(self, name, value, unit):
        value = round(value, 3)
        self.lines.append({'name': name, 'value': value, 'unit': unit})
        if not self.as_json:
            print(name, value, unit, flush=True)

    def end(self):
        if self.as_json:
            json.dump(self.lines, sys.stdout, indent=1)
            print()


def measure(name, size, args, report):
    rates = {kind: [] for kind in (Leat, Testpmd, Ovs)}
    for _ in range(args.samples):
        for kind in list(rates):
            try:
                rates[kind].append(sample(kind, size, args.seconds))
            except Missing as e:
                print('bench-dpu: without %s: %s' % (kind.name, e), file=sys.stderr)
                del rates[kind]
    medians = {kind.name: statistics.median(v) for kind, v in rates.items()}
    for kind, value in medians.items():
        report.add('%s.%s' % (name, kind), value, 'Mpps')
    for kind in ('testpmd', 'ovs'):
        if kind in medians:
            report.add('%s.%s_ratio' % (name, kind), medians['leat'] / medians[kind], 'x')


def main():
    parser = argparse.ArgumentParser(prog='leat bench dpu')
    parser.add_argument('--json', action='store_true')
    parser.add_argument('--quick', action='store_true')
    parser.add_argument('--only', default='')
    parser.add_argument('--samples', type=int, default=0)
    parser.add_argument('--seconds', type=float, default=0)
    args = parser.parse_args()
    args.samples = args.samples or (3 if args.quick else 7)
    args.seconds = args.seconds or (1 if args.quick else 3)
    only = [c for c in args.only.split(',') if c]
    for c in only:
        if c not in CASES and c != 'filter':
            sys.exit('leat bench dpu: there is no case %s' % c)
    if os.cpu_count() < 2:
        sys.exit('leat bench dpu: needs two cores')
    report = Report(args.json)
    try:
        for name, size in CASES.items():
            if not only or name in only:
                measure(name, size, args, report)
        if not only or 'filter' in only:
            report.add('filter.leat', filter_ns(os.environ.get('LEAT_EXE', 'leat')), 'ns')
    except (Failed, Missing, subprocess.TimeoutExpired) as e:
        sys.exit('leat bench dpu: %s' % e)
    report.end()


if __name__ == '__main__':
    main()
