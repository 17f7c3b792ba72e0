#!/usr/bin/python3
"""Go's standard library tests: compiled natively, run natively and in Leat."""
import os
import re
import subprocess

import suite
from leat_test import (ENV, WORK, Failed, execute, leat_argv, main, need, popen,  # noqa: E402
                       test)

PACKAGES = ['os', 'os/exec', 'os/signal', 'net', 'net/http', 'time', 'sync', 'syscall', 'runtime']
BUILD_SECONDS = 1200
RUN_SECONDS = 1200
VERDICT = re.compile(r'^\s*--- (PASS|FAIL|SKIP): (\S+)', re.M)


def goroot():
    r = execute(['go', 'env', 'GOROOT'])
    return os.path.realpath(r.text.strip())


def build(package):
    need('go')
    binary = os.path.join(WORK, package.replace('/', '_') + '.test')
    env = dict(ENV, GOCACHE=os.path.join(WORK, 'gocache'), GOFLAGS='', GOPROXY='off',
               GO111MODULE='off')
    r = execute(['go', 'test', '-tags', 'timetzdata', '-c', '-o', binary, package], timeout=BUILD_SECONDS, env=env)
    if r.code != 0:
        raise Failed('go test -c %s: %s' % (package, r))
    os.chmod(binary, 0o755)
    return binary


def results(argv, folder):
    out = os.path.join(WORK, 'go.out')
    with open(out, 'wb') as f:
        p = popen(argv, cwd=folder, stdout=f, stderr=subprocess.STDOUT)
        try:
            p.wait(RUN_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, 9)
            p.wait()
    with open(out, encoding='utf-8', errors='replace') as f:
        return {name: 'ok' if what == 'PASS' else what.lower()
                for what, name in VERDICT.findall(f.read())}


def make(package):
    def run():
        folder = os.path.join(goroot(), 'src', package)
        argv = [build(package), '-test.v', '-test.short']
        native = results(argv, folder)
        suite.compare(native, results(leat_argv(argv, ['-w', folder]), folder))

    run.__name__ = 'go_' + package.replace('/', '_')
    return test(run)


for name in PACKAGES:
    make(name)
main()
