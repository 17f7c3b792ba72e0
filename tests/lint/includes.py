#!/usr/bin/python3
"""Who may include whom: the table of ARCHITECTURE.md, checked on every #include "..."."""
import re
import lint

# room -> rooms whose headers it may include; everyone may include include/leat and itself
MAY = {
    'include': [],
    'bpf': [],
    'net': [],
    'sched': ['bpf'],
    'net/dpu': ['bpf'],
    'libos': ['net', 'loader'],  # loader.h alone: exec, patching, program counters in stubs
    'loader': ['libos'],
    'apps': ['bpf', 'net', 'sched', 'net/dpu', 'libos', 'loader'],
    'tests': ['bpf', 'net', 'sched', 'net/dpu', 'libos', 'loader', 'apps'],
}

# Across rooms only these headers may be named. The loader is a part of the image and sees libos/
# from within; tests see everything.
FACADES = {
    'bpf': ['bpf/bpf.h', 'bpf/programs/sched_default.h'],  # the default policy, compiled twice
    'net': ['net/net.h', 'net/env.h'],
    'sched': ['sched/sched.h'],
    'net/dpu': ['net/dpu/dpu.h'],
    'loader': ['loader/loader.h'],
}


def room_of(path):
    if path.startswith('net/dpu/'):
        return 'net/dpu'
    return path.split('/')[0]


def problems_of(name):
    room = room_of(name)
    if room not in MAY:
        return
    for n, line in enumerate(lint.read(name).split('\n'), 1):
        m = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
        if not m:
            continue
        what, where = m.group(1), '%s:%d' % (name, n)
        if '..' in what.split('/'):
            yield '%s: "%s": includes are written from the root of the tree' % (where, what)
            continue
        if what.startswith('leat/') or '/' not in what:
            continue  # the shared contract; or a header made by the build, or beside the file
        to = room_of(what)
        if to == room or to not in MAY:
            continue
        if to not in MAY[room]:
            yield '%s: %s/ may not include %s/ ("%s")' % (where, room, to, what)
        elif room not in ('tests', 'loader') and what not in FACADES.get(to, [what]):
            yield '%s: "%s" is private to %s/; its facade is %s' % (
                where, what, to, ', '.join(FACADES[to]))


report = lint.Report()
for folder in MAY:
    names = [n for n in lint.files('.c', '.h', '.S', '.inc', '.def') if room_of(n) == folder]
    report.check('includes of %s/' % folder, [p for n in names for p in problems_of(n)])
report.done()
