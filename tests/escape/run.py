#!/usr/bin/python3
"""Escape attempts: a hostile program in an instance, end to end, with the real image and leatd.

tests/escape/escape.c makes host calls from inside the library OS's text ("forged"), where they are
not trapped, and from pages of its own.  What is forbidden ends that instance, with one line in
leatd's log that names the call, and nothing else.
"""
import os
import re
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..'))
from leat_test import (BUILD, ENV, LEAT, NATIVE, cli, equal, execute, leat, main, need, ok, test, true,
                       work_dir, write_file)  # noqa: E402
from leaks import Leaks  # noqa: E402

if NATIVE:
    print('1..0 # SKIP nothing to escape from natively')
    sys.exit(0)

ESCAPE = os.path.join(BUILD, 'tests', 'escape', 'escape')
FD_ROOT, FD_VOLUMES, FD_DOORBELL = 4, 16, 64
AT_FDCWD = -100
O_WRONLY, O_CREAT, O_PATH, O_TMPFILE = 1, 0o100, 0o10000000, 0o20200000

# number, and arguments that would do something if it were allowed
FORBIDDEN = {
    'socket': (41, 2, 1), 'execve': (59,), 'ptrace': (101, 16, 1), 'kill': (62, -1, 9),
    'prctl': (157, 38, 0), 'seccomp': (317, 1), 'setresuid': (117, 0, 0, 0), 'bpf': (321, 0),
    'io_uring_setup': (425, 8), 'clone3': (435,), 'openat2': (437, FD_ROOT), 'mount': (165,),
    'unshare': (272, 0x10000000), 'setns': (308, 3), 'chroot': (161,), 'pidfd_open': (434, 1),
    'process_vm_readv': (310, 1), 'userfaultfd': (323,), 'keyctl': (250,),
    'perf_event_open': (298,), 'init_module': (175,), 'personality': (135, 0x0400000),
    'prlimit64': (302, 0, 7), 'sched_setscheduler': (144, 0, 1), 'memfd_secret': (447,),
    'name_to_handle_at': (303, FD_ROOT), 'landlock_restrict_self': (446, 0), 'setsid': (112,),
    'rt_sigqueueinfo': (129, 1, 9), 'pidfd_getfd': (438, 3, 0), 'dup2': (33, 3, 64),
}

# allowed calls with arguments that are not
FORGED = {
    'clone a user namespace': ('clone', 56, 0x10000000 | 17),
    'clone with another file table': ('clone', 56, 17),
    'clone a parent': ('clone', 56, 0x8000 | 0x400 | 17),
    'open for writing': ('openat', 257, FD_ROOT, 0, O_WRONLY),
    'create': ('openat', 257, FD_ROOT, 0, O_WRONLY | O_CREAT, 0o644),
    'temporary file': ('openat', 257, FD_ROOT, 0, O_TMPFILE | 2, 0o600),
    'type into the terminal': ('ioctl', 16, 0, 0x5412),
    'status flags of stdio': ('fcntl', 72, 1, 4, 0o4000),
    'drain a doorbell': ('read', 0, FD_DOORBELL, 0, 8),
    'take a doorbell along': ('fcntl', 72, FD_DOORBELL, 1030, 0),
    'requeue a futex': ('futex', 202, 0, 3, 1, 1),
    'huge pages by flag': ('mmap', 9, 0, 4096, 3, 0x40022),
    'executable memfd': ('memfd_create', 319, 0, 0x10),
}


def escape(*args, options=()):
    argv = [ESCAPE] + [str(a) for a in args]
    return execute([LEAT, 'run', *options, '--', *argv])


def log():
    with open(os.path.join(ENV['LEAT_STATE_DIR'], 'leatd.log')) as f:
        return f.read()


def dies(args, call, options=()):
    """It ends by Leat, with one line that names the call."""
    before = log().count('forbidden host call')
    r = escape(*args, options=options)
    equal(r.code, 125, '%r ends by Leat (%s)' % (args, r))
    true(b'forbidden host call' in r.err and call.encode() in r.err,
         '%r: leat names the call: %s' % (args, r))
    equal(log().count('forbidden host call') - before, 1, 'lines in the log about %r' % (args,))


@test
def forbidden_calls_from_the_library_os():
    ok(leat(['/bin/true']))
    for call, args in FORBIDDEN.items():
        dies(('forged',) + args, call + '(')


@test
def forged_arguments():
    ok(leat(['/bin/true']))
    for what, (call, *args) in FORGED.items():
        # what a writable volume would allow, the child's own filter refuses: there is no listener
        dies(('forged', *args), 'without a writable volume' if call == 'openat' else call + '(')


@test
def writing_calls_without_a_volume_are_told():
    ok(leat(['/bin/true']))
    for nr in (263, 258, 316, 265, 266, 268, 260, 280):
        before = log().count('forbidden host call')
        r = escape('forged', nr, FD_ROOT)
        equal(r.code, 125, 'call %d ends by Leat: %s' % (nr, r))
        true(b'without a writable volume' in r.err, 'leat says why: %s' % r)
        equal(log().count('forbidden host call') - before, 1, 'one line in the log')


@test
def calls_from_its_own_pages_reach_the_library_os_only():
    """What the library OS does not have is ENOSYS; what it has is not the host's."""
    for call in ('ptrace', 'io_uring_setup', 'bpf', 'perf_event_open', 'userfaultfd', 'setns',
                 'init_module', 'process_vm_readv', 'memfd_secret'):
        r = ok(escape('site', *FORBIDDEN[call][:4]))
        true(r.text.strip() in ('ENOSYS', 'EPERM', 'EINVAL', 'ESRCH', 'EFAULT'), call + r.text)


@test
def int80_and_x32():
    native = execute([ESCAPE, 'int80'])
    r = escape('int80')
    if native.code == 0:
        equal(r.code, 125, 'int 0x80 ends it: %s' % r)
        true(b'forbidden host call' in r.err, 'and leat says so')
    else:  # a kernel without that entry: the fault is the program's own
        equal(r.code, 128 - native.code if native.code < 0 else native.code, 'int 0x80 faults')
    r = escape('forged', 0x40000000 | 39)
    equal(r.code, 125, 'x32 ends it')


@test
def host_files_that_are_out_of_reach():
    for path in ('proc/self/maps', 'proc/1/environ', 'proc/self/root/root', 'proc/1/root/etc/hostname',
                 'sys/kernel',
                 'dev/mem', 'dev/kmsg', 'root', 'run', 'home', 'proc/1/fd/0'):
        for at in (path, '/' + path, '../../../' + path, './../' + path, 'usr/../' + path):
            r = ok(escape('open', FD_ROOT, at, 0))
            true(r.text.strip() in ('EACCES', 'ENOENT', 'ENOTDIR', 'EISDIR'), at + ': ' + r.text)
    equal(ok(escape('open', FD_ROOT, 'etc/shadow', 0)).text, 'EACCES\n', 'shadow')


@test
def paths_do_not_lead_out_of_a_root_or_a_volume():
    outside = work_dir('outside')
    write_file(os.path.join(outside, 'secret'), 'secret of the host\n')
    root, vol = os.path.join(outside, 'root'), os.path.join(outside, 'vol')
    for d in (root, vol):
        os.makedirs(d)
        os.symlink(os.path.join(outside, 'secret'), os.path.join(d, 'link'))
        os.symlink('../secret', os.path.join(d, 'up'))
        os.symlink('..', os.path.join(d, 'parent'))
        os.symlink('/proc/self/root' + outside, os.path.join(d, 'magic'))
    options = ('--rootfs', root, '-v', vol + ':/v', '-v',
               os.path.dirname(ESCAPE) + ':/e:ro')
    absolute = os.path.join(outside, 'secret')
    for dirfd in (FD_ROOT, FD_VOLUMES, AT_FDCWD):
        for path in ('link', 'up', 'parent/secret', '../secret', '../../secret', absolute,
                     'magic/secret', 'v/../../secret', '/../../..' + absolute):
            r = execute([LEAT, 'run', *options, '--', '/e/escape', 'open', str(dirfd), path, '0'])
            true(r.code == 0 and b'secret' not in r.out, '%d %s: %s' % (dirfd, path, r))


@test
def descriptors_that_are_there():
    fds = [int(n) for n in ok(escape('descriptors')).text.split()]
    cores = [fd for fd in fds if FD_DOORBELL <= fd < FD_DOORBELL + 32]
    true(cores, 'doorbells')
    rest = [fd for fd in fds if fd not in cores]
    # stdio, window, root, program, and what the library OS opened itself, from 6 up
    equal([fd for fd in rest if fd < 6], [0, 1, 2, 3, 4, 5], 'the fixed ones')
    true(len(rest) <= 9 and max(rest) < FD_VOLUMES, 'nothing else: %r' % rest)


@test
def signals_reach_nobody_else():
    with Leaks():
        ok(cli('run', '-d', '--name', 'victim', '--', '/bin/sleep', '1000'))
        equal(ok(escape('others', 70000)).text, '0\n', 'processes reached')
        true('running' in ok(cli('ps')).text, 'the other instance lives')
        ok(cli('rm', '-f', 'victim'))


@test
def futexes_of_shared_pages():
    r = ok(escape('futex')).text.split('\n')
    true(re.match(r'wake (0|-\d+)$', r[0]), r[0])
    true(r[1] in ('wait ETIMEDOUT', 'wait EAGAIN', 'wait EFAULT'), r[1])


@test
def the_window_keeps_its_size():
    r = ok(escape('window')).text
    true('shrink EPERM' in r and 'grow EPERM' in r, r)
    ok(leat(['/bin/true']))


@test
def scribbling_over_everything_that_leatd_reads():
    """Random words in rings and control slots, doorbells in between: only that instance suffers."""
    ok(cli('run', '-d', '--name', 'victim', '--', '/bin/sleep', '1000'))
    for _ in range(3):
        escape('scribble')
        equal(ok(leat(['/bin/echo', 'hi'])).text, 'hi\n', 'another instance runs')
    true('running' in ok(cli('ps')).text, 'the other instance lives')
    ok(cli('rm', '-f', 'victim'))


@test
def text_and_control_page():
    """Its own copy of the text is its own; leatd's page cannot be written."""
    ok(cli('run', '-d', '--name', 'victim', '--', '/bin/sh', '-c',
           'while :; do sleep 0.1; done'))
    escape('text')
    equal(ok(leat(['/bin/echo', 'hi'])).text, 'hi\n', 'another instance has its text')
    equal(ok(escape('control')).text, 'EACCES\n', 'making the control page writable')
    true('running' in ok(cli('ps')).text, 'the other instance lives')
    ok(cli('rm', '-f', 'victim'))


@test
def processes_that_nobody_waits_for_are_swept():
    """Made behind the library OS's back; how many there may be is test_launcher's."""
    with Leaks():
        equal(ok(escape('bomb')).text, '200\n', 'processes')


@test
def the_set_in_force_is_shown():
    ok(cli('run', '-d', '--name', 'shown', '--', '/bin/sleep', '1000'))
    text = ok(cli('inspect', '--sandbox', 'shown')).text
    ok(cli('rm', '-f', 'shown'))
    calls = {line.split(':')[0] for line in text.splitlines()}
    for line in ('openat: flags has only bits of 0x', 'clone: flags == 0x', 'gettid\n',
                 'read: fd not in 64..95'):
        true(line in text, line + ' in ' + text)
    for call in ('unlinkat', 'socket', 'ptrace', 'prctl'):
        true(call not in calls, call + ' is not in the set')


# ---- an image: no file of the host at all ----

def image_options():
    root = work_dir('image-root')
    os.makedirs(root + '/e')
    shutil.copy(ESCAPE, root + '/e/escape')
    image = os.path.join(os.path.dirname(root), 'escape.erofs')
    ok(cli('image', 'build', '-o', image, root))
    return image


def image_escape(image, *args):
    return execute([LEAT, 'run', '--image', image, '--', '/e/escape', *(str(a) for a in args)])


@test
def an_image_has_no_files_of_the_host():
    need('mkfs.erofs')
    image = image_options()
    ok(image_escape(image, 'descriptors'))
    for nr in (257, 262, 138, 217, 267, 263, 258, 316, 265, 266, 268, 260, 280):
        before = log().count('forbidden host call')
        r = image_escape(image, 'forged', nr, FD_ROOT)
        equal(r.code, 125, 'call %d ends by Leat: %s' % (nr, r))
        true(b'files of the host' in r.err, 'leat says why: %s' % r)
        equal(log().count('forbidden host call') - before, 1, 'one line in the log')
    for call, args in list(FORBIDDEN.items())[::5]:
        r = image_escape(image, 'forged', *args)
        equal(r.code, 125, '%s ends by Leat: %s' % (call, r))


@test
def an_image_is_not_written():
    need('mkfs.erofs')
    image = image_options()
    with open(image, 'rb') as f:
        before = f.read()
    for what, args, errors in (
            ('write', (1, FD_ROOT, 0x400000, 1), ('EBADF',)),
            ('pwrite', (18, FD_ROOT, 0x400000, 1, 0), ('EBADF',)),
            ('ftruncate', (77, FD_ROOT, 0), ('EINVAL', 'EBADF')),
            ('fallocate', (285, FD_ROOT, 3, 0, 4096), ('EBADF',)),
            ('shared mapping', (9, 0, 4096, 3, 1, FD_ROOT, 0), ('EACCES',)),
            ('its mapping', (10, 0x7e4000000000, 4096, 3), ('EACCES',)),
            ('remove its pages', (28, 0x7e4000000000, 4096, 9), ('EACCES', 'EINVAL'))):
        r = image_escape(image, 'forged', *args)
        true(r.code == 125 or (r.code == 0 and r.text.strip() in errors), '%s: %s' % (what, r))
    with open(image, 'rb') as f:
        true(f.read() == before, 'the image is as it was')


main()
