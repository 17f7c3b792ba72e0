#!/usr/bin/python3
"""stress-ng's stressors with --verify: they check what they compute, write and are told."""
import suite  # noqa: F401  (the path of leat_test)
from leat_test import leat, main, need, ok, test

# name, and a number of operations that takes seconds
STRESSORS = [('cpu', 100), ('vm', 2000), ('pipe', 20000), ('futex', 20000), ('fork', 200),
             ('timer', 2000), ('sigq', 5000), ('signal', 5000), ('sigfd', 5000), ('itimer', 1000),
             ('dentry', 2000), ('dir', 2000), ('rename', 2000), ('link', 500), ('symlink', 500),
             ('fallocate', 50), ('seek', 2000), ('hdd', 200), ('fstat', 500), ('lockf', 2000),
             ('flock', 2000), ('mmap', 20), ('mremap', 50), ('msync', 50), ('memfd', 20),
             ('shm', 5), ('sem', 20000), ('eventfd', 20000), ('epoll', 500), ('poll', 2000),
             ('switch', 20000), ('vfork', 200), ('clone', 100), ('exec', 50), ('pthread', 200),
             ('wait', 500), ('yield', 20000), ('get', 200), ('fifo', 20000), ('sock', 200)]
SECONDS = 60


def make(name, ops):
    def run():
        need('stress-ng')
        argv = ['/usr/bin/stress-ng', '--' + name, '2', '--%s-ops' % name, str(ops), '--verify',
                '--timeout', '%ds' % SECONDS, '--temp-path', '/tmp', '--quiet']
        if name == 'vm':
            argv += ['--vm-bytes', '64m']
        ok(leat(argv, timeout=4 * SECONDS))

    run.__name__ = 'stress_' + name
    return test(run)


for stressor in STRESSORS:
    make(*stressor)
main()
