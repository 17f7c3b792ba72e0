#!/usr/bin/python3
"""The instance image: general registers only, host calls in one place, nothing writable.

usage: image.py LEAT_IMAGE

Disassembles the linked executable, so that it sees what really runs: libgcc and hand-written
assembly included. The few functions that may touch vector state are named xstate_*, besides the
two that write and read it in signal frames; a `syscall` instruction may stand only in functions
named host_* (libos/host.*).
"""
import re
import subprocess
import sys
import lint

IMAGE = sys.argv[1]
BASE = 0x7e0000000000

VECTOR = re.compile(r'%([xyz]mm\d+|mm[0-7]|st\b|k[0-7]\b|bnd[0-3]|tmm[0-7])')
# x87, MMX and SSE state without a register operand
STATE = re.compile(r'^(f(?!s\b)[a-z0-9]+|emms|v?ldmxcsr|v?stmxcsr|vzero\w+|'
                   r'x(save|rstor)\w*|fx(save|rstor)\w*|tile\w+)$')


MARKED = re.compile(r'^(xstate_\w+|sigframe_push|sigframe_pop)$')


def disassemble():
    """(symbol, address, mnemonic, operands) of every instruction."""
    out = subprocess.run(['objdump', '-d', '--no-show-raw-insn', '-w', IMAGE],
                         stdout=subprocess.PIPE, check=True).stdout.decode()
    symbol = '?'
    for line in out.split('\n'):
        m = re.match(r'^[0-9a-f]+ <([^>]+)>:', line)
        if m:
            symbol = m.group(1)
            continue
        m = re.match(r'^\s*([0-9a-f]+):\s+(.*)$', line)
        if not m:
            continue
        words = m.group(2).split('#')[0].split()
        while words and words[0] in ('lock', 'rep', 'repz', 'repnz', 'notrack', 'data16', 'cs'):
            words = words[1:]
        if words:
            yield symbol, int(m.group(1), 16), words[0], ' '.join(words[1:])


def base_name(symbol):
    return re.sub(r'\.(part|isra|constprop|cold)\..*$|\.cold$', '', symbol)


def elf(*args):
    return subprocess.run(['readelf', '-W', *args, IMAGE], stdout=subprocess.PIPE,
                          check=True).stdout.decode()


def writable():
    for line in elf('-l').split('\n'):
        m = re.match(r'\s+LOAD\s+\S+\s+0x(\S+)\s.*?\s((?:R|W|E| ){2,3})\s+0x', line)
        if m and 'W' in m.group(2):
            yield 'a writable segment at 0x%s' % m.group(1)
    for line in elf('-S').split('\n'):
        m = re.match(r'\s*\[\s*\d+\]\s+(\.t?data|\.t?bss)\s+\S+\s+\S+\s+\S+\s+(\S+)', line)
        if m and int(m.group(2), 16):
            yield 'section %s has %d bytes' % (m.group(1), int(m.group(2), 16))


def placement():
    loads = [int(m.group(1), 16) for m in
             re.finditer(r'^\s+LOAD\s+\S+\s+0x(\S+)', elf('-l'), re.M)]
    if not loads or min(loads) != BASE:
        yield 'loads at %s, not at %#x' % (['%#x' % x for x in loads], BASE)
    if re.search(r'^\s+(INTERP|DYNAMIC|TLS)\s', elf('-l'), re.M):
        yield 'has an interpreter, a dynamic section or thread-local storage'
    if 'There are no relocations' not in elf('-r'):
        yield 'has relocations'


code = list(disassemble())
report = lint.Report()
report.check('the image has code', [] if len(code) > 1000 else ['%d instructions' % len(code)])
report.check('no vector, x87 or MMX instruction outside the marked functions', [
    '%s+%#x: %s %s' % (sym, addr, op, args) for sym, addr, op, args in code
    if not MARKED.match(base_name(sym)) and (VECTOR.search(args) or STATE.match(op))])
report.check('no host call outside host_*', [
    '%s+%#x: %s' % (sym, addr, op) for sym, addr, op, args in code
    if op in ('syscall', 'sysenter', 'int') and not base_name(sym).startswith('host_')
    and not (op == 'int' and args != '$0x80')])
report.check('nothing writable', writable())
report.check('one static executable at its fixed address', placement())
report.done()
