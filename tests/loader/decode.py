#!/usr/bin/python3
"""The decoder against objdump. usage: decode.py DECODE-TOOL FILE...

Instruction lengths must be equal everywhere; at every syscall the instructions that the loader
would move must begin where objdump says so.
"""
import os
import re
import subprocess
import sys


def segments(name):
    out = subprocess.run(['readelf', '-lW', name], stdout=subprocess.PIPE, check=True)
    for line in out.stdout.decode().split('\n'):
        m = re.match(r'\s+LOAD\s+0x(\S+)\s+0x(\S+)\s+\S+\s+0x(\S+)', line)
        if m:
            yield tuple(int(x, 16) for x in m.groups())


def listing(name):
    segs = list(segments(name))

    def offset(addr):
        return next((addr - va + off for off, va, size in segs if va <= addr < va + size), None)

    out = subprocess.run(['objdump', '-d', '-w', name], stdout=subprocess.PIPE, check=True)
    recent = []
    for line in out.stdout.decode().split('\n'):
        cells = line.split('\t')
        if len(cells) < 3 or '(bad)' in cells[2]:
            continue
        addr = offset(int(cells[0].strip(' :'), 16))
        words = cells[1].split()
        if addr is None:
            continue
        if cells[2].split()[0] == 'syscall':
            yield 's %x %s' % (addr, ' '.join('%x' % a for a in recent))
        # objdump joins fwait with what follows, and shows lone prefixes as instructions
        if words[0] != '9b' and not cells[2].startswith(('rex', 'data16', 'lock')):
            yield 'i %x %x' % (addr, len(words))
        recent = recent[-24:] + [addr]


tool, names = sys.argv[1], sys.argv[2:]
names = [n for n in names if os.path.exists(n)]
if not names:
    sys.exit(77)
failed = False
for name in names:
    r = subprocess.run([tool, name], input='\n'.join(listing(name)).encode(), check=False,
                       stdout=subprocess.PIPE)
    print(name + ': ' + r.stdout.decode().strip())
    failed |= r.returncode != 0
sys.exit(failed)
