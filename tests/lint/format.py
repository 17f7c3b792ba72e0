#!/usr/bin/python3
"""Every C file is as clang-format leaves it (`make fmt`)."""
import subprocess
import lint

report = lint.Report()
names = [n for n in lint.files('.c', '.h')]
bad = []
for i in range(0, len(names), 50):
    out = subprocess.run(['clang-format', '--dry-run', '--Werror'] + names[i:i + 50],
                         cwd=lint.ROOT, stderr=subprocess.PIPE, check=False)
    bad += sorted({line.split(':')[0] for line in out.stderr.decode().split('\n')
                   if '-Wclang-format-violations' in line})
report.check('clang-format', bad)
report.done()
