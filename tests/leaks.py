"""What leatd and its launcher hold on the host, seen from outside: a leak check around a test.

    with Leaks():
        ...            # starts instances and ends them in some way

At the end everything must be as it was: descriptors, threads and mapped windows of leatd and the
launcher, processes with a uid of the pool, cgroups, log files and named network namespaces.
"""
import os
import re

import leat_test as t

UID_FIRST = 2000000
UIDS = 20000


def leatd_pid():
    with open(os.path.join(t.ENV['LEAT_STATE_DIR'], 'lock')) as f:
        return int(f.read())


def launcher_pid(pid):
    for task in os.listdir('/proc/%d/task' % pid):
        with open('/proc/%d/task/%s/children' % (pid, task)) as f:
            for child in f.read().split():
                with open('/proc/%s/comm' % child) as c:
                    if c.read() == 'leat-launcher\n':
                        return int(child)
    raise t.Failed('leatd has no launcher')


def uid_low(pid):
    """The first uid of leatd's pool: the lock that it holds names the block."""
    for fd in os.listdir('/proc/%d/fd' % pid):
        try:
            m = re.search(r'/uids-(\d+)$', os.readlink('/proc/%d/fd/%s' % (pid, fd)))
        except OSError:
            continue
        if m:
            return UID_FIRST + int(m.group(1)) * (UIDS + 1) + 1
    raise t.Failed('leatd holds no uids')


def processes_of(low):
    found = []
    for pid in map(int, filter(str.isdigit, os.listdir('/proc'))):
        try:
            with open('/proc/%d/status' % pid) as f:
                uid = int(re.search(r'^Uid:\s+(\d+)', f.read(), re.M).group(1))
        except (OSError, AttributeError):
            continue
        if low <= uid < low + UIDS:
            found.append(pid)
    return found


def entries(path):
    try:
        return sorted(e for e in os.listdir(path) if e[0].isdigit())
    except FileNotFoundError:
        return []


def windows_of(pid):
    with open('/proc/%d/maps' % pid) as f:
        return sum('leat-window' in line for line in f)


class Leaks:
    def __init__(self):
        t.ok(t.leat(['/bin/true']))  # what the first start makes stays
        self.pid = leatd_pid()
        self.launcher = launcher_pid(self.pid)
        self.low = uid_low(self.pid)

    def held(self):
        held = {'processes': processes_of(self.low),
                'windows': windows_of(self.pid),
                'logs': entries(os.path.join(t.ENV['LEAT_STATE_DIR'], 'logs')),
                'namespaces': sorted(n for n in os.listdir('/run/netns')
                                     if n.startswith(t.ENV['LEAT_NETNS']))}
        for root in ('memory', 'cpu', 'pids', 'unified', '.'):
            held['cgroups ' + root] = [
                e for e in entries('/sys/fs/cgroup/%s/leat-%d' % (root, self.low))]
        for name, pid in (('leatd', self.pid), ('launcher', self.launcher)):
            held['threads of ' + name] = len(os.listdir('/proc/%d/task' % pid))
            held['descriptors of ' + name] = len(os.listdir('/proc/%d/fd' % pid))
        return held

    def __enter__(self):
        # the dataplane may still be settling what the first start left
        t.until(lambda: not processes_of(self.low), 'no instance')
        self.before = self.held()
        return self

    def __exit__(self, kind, *exc):
        if kind is not None:
            return
        now = {}

        def kept(what, was):
            # a count may fall: what only the start needed has ended meanwhile
            return now[what] <= was if isinstance(was, int) else now[what] == was

        def same():
            now.update(self.held())
            return all(kept(k, v) for k, v in self.before.items())

        try:
            t.until(same, 'everything given back')
        except t.Failed:
            raise t.Failed('leaks: ' + ', '.join(
                '%s: %r, was %r' % (k, now[k], v)
                for k, v in self.before.items() if not kept(k, v))) from None
