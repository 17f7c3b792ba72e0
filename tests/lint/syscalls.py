#!/usr/bin/python3
"""libos/syscalls.def is readable, sorted and honest, and docs/syscalls.md was made from it."""
import subprocess
import lint

report = lint.Report()
run = subprocess.run(['/usr/bin/python3', lint.ROOT + '/scripts/gen-syscalls-doc.py', '--check'],
                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
report.check('syscalls.def and docs/syscalls.md',
             run.stdout.decode().split('\n') if run.returncode else [])
report.done()
