#!/usr/bin/python3
"""Every header compiles alone. usage: headers.py UAPI_DIR"""
import os
import subprocess
import sys
import lint

WARN = ['-std=gnu11', '-D_GNU_SOURCE', '-Wall', '-Wextra', '-Werror', '-I.', '-Iinclude',
        '-Wno-unused-function', '-x', 'c', '-fsyntax-only']


def out(*cmd):
    return subprocess.run(cmd, stdout=subprocess.PIPE, check=True).stdout.decode().split()


IMAGE = ['-ffreestanding', '-fPIE', '-mgeneral-regs-only', '-nostdinc', '-DLEAT_IMAGE=1',
         '-isystem', '/usr/include/x86_64-linux-musl',
         '-isystem', out('gcc', '-print-file-name=include')[0], '-isystem', sys.argv[1]]


def host_flags():
    flags = out('pkg-config', '--cflags', 'libdpdk', 'libbpf', 'libseccomp', 'jansson', 'libh2o-evloop')
    flags += ['-DH2O_USE_LIBUV=0', '-DH2O_USE_EPOLL=1']
    return [f.replace('-I', '-isystem') if f.startswith('-I') else f for f in flags]


HOST = host_flags()


def flags_of(name):
    image = name.startswith(('libos/', 'loader/')) or (
        name.startswith('net/') and not name.startswith('net/dpu/'))
    return IMAGE if image else HOST


def problem(name):
    # as an include, so that '#pragma once' is not in the main file
    text = '#include "%s"\n' % name
    r = subprocess.run(['gcc'] + WARN + flags_of(name) + ['-'], input=text.encode(),
                       cwd=lint.ROOT, stderr=subprocess.PIPE, check=False)
    if r.returncode == 0:
        return []
    return [name + ': ' + line for line in r.stderr.decode().split('\n')[:5] if line]


report = lint.Report()
names = [n for n in lint.files('.h') if not n.startswith(('tests/', 'bpf/programs/'))
         and not os.path.basename(n).startswith('vmlinux')]
report.check('headers compile alone', [p for n in names for p in problem(n)])
report.done()
