#!/usr/bin/python3
"""CPython's own tests (Debian's libpython3.11-testsuite), natively and in Leat."""
import os
import subprocess

import suite
from leat_test import WORK, Skip, execute, leat_argv, main, popen, test, write_file  # noqa: E402

PYTHON = '/usr/bin/python3.11'
MODULES = ['test_os', 'test_posix', 'test_subprocess', 'test_socket', 'test_select',
           'test_selectors', 'test_epoll', 'test_threading', 'test_thread', 'test_signal',
           'test_mmap', 'test_fcntl', 'test_multiprocessing_fork', 'test_multiprocessing_spawn',
           'test_asyncio', 'test_ssl', 'test_pty', 'test_tempfile', 'test_shutil', 'test_time',
           'test_resource', 'test_tarfile', 'test_sqlite3']
MODULE_SECONDS = 1200

# Runs in the instance: a line for each test as soon as it has ended, so that a hang costs only
# what follows. No resources: nothing from the network, no audio, no large files.
RUNNER = '''
import os, sys, unittest
from test import support
support.use_resources = []
out = os.dup(1)
class Result(unittest.TestResult):
    def say(self, what, test):
        os.write(out, ('@@ %s %s\\n' % (what, test.id())).encode())
    def addSuccess(self, test):
        if not getattr(test, 'sub_failed', False):
            self.say('ok', test)
    def addFailure(self, test, err):
        self.say('failure', test)
    def addError(self, test, err):
        self.say('error', test)
    def addSkip(self, test, reason):
        self.say('skipped', test)
    def addExpectedFailure(self, test, err):
        self.say('expected-failure', test)
    def addUnexpectedSuccess(self, test):
        self.say('unexpected-success', test)
    def addSubTest(self, test, subtest, err):
        if err is not None:
            test.sub_failed = True
            self.say('failure', test)
suite = unittest.defaultTestLoader.loadTestsFromName('test.' + sys.argv[1])
suite.run(Result())
'''


def results(argv, folder):
    """What became of each test; those after a hang or a crash are missing."""
    out = os.path.join(WORK, 'cpython.out')
    with open(out, 'wb') as f:
        p = popen(argv, cwd=folder, stdout=f, stderr=subprocess.DEVNULL)
        try:
            p.wait(MODULE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, 9)
            p.wait()
    found = {}
    with open(out, encoding='utf-8', errors='replace') as f:
        for line in f:
            if '@@ ' in line:
                what, _, name = line[line.index('@@ ') + 3:].rstrip('\n').partition(' ')
                # a failure stays one, whatever its other parts do
                if found.get(name, 'ok') == 'ok':
                    found[name] = what
    return found


def make(module):
    def run():
        if execute([PYTHON, '-c', 'import test.' + module]).code != 0:
            raise Skip('libpython3.11-testsuite is not installed')
        runner = write_file(os.path.join(WORK, 'runner.py'), RUNNER, 0o644)
        argv = [PYTHON, runner, module]
        native = results(argv, WORK)
        suite.compare(native, results(leat_argv(argv, ['-w', '/tmp']), WORK))

    run.__name__ = 'cpython_' + module
    return test(run)


for m in MODULES:
    make(m)
main()
