"""What the lint checks share: the project's files, and one way to report (TAP)."""
import os
import subprocess
import sys

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), '..', '..'))


def files(*suffixes):
    """Paths of the project's own files with one of these suffixes, relative to the root."""
    out = subprocess.run(['git', '-c', 'safe.directory=*', 'ls-files', '-co', '--exclude-standard'],
                         cwd=ROOT, stdout=subprocess.PIPE, check=False)
    if out.returncode == 0:
        names = out.stdout.decode().split('\n')
    else:  # an exported tree without .git
        names = []
        for folder, dirs, leaves in os.walk(ROOT):
            dirs[:] = [d for d in dirs if not d.startswith(('.', 'build'))]
            names += [os.path.relpath(os.path.join(folder, n), ROOT) for n in leaves]
    return sorted(n for n in set(names) if n.endswith(suffixes)
                  and os.path.isfile(os.path.join(ROOT, n)))


def read(name):
    with open(os.path.join(ROOT, name), encoding='utf-8') as f:
        return f.read()


class Report:
    """Collects verdicts and prints them as TAP."""

    def __init__(self):
        self.count = 0
        self.failed = 0

    def check(self, name, problems):
        """One verdict: passes when the list of problems is empty."""
        self.count += 1
        bad = list(problems)
        print('%s %d - %s' % ('not ok' if bad else 'ok', self.count, name))
        for p in bad:
            print('# ' + str(p))
        self.failed += bool(bad)

    def done(self):
        print('1..%d' % self.count)
        sys.exit(1 if self.failed else 0)
