#!/usr/bin/python3
"""The command line: what `leat` promises a user, from exit codes to terminals."""
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..'))
from leat_test import (ENV, LEAT, NATIVE, Failed, Skip, Terminal, cli, equal, execute, leat,
                       leat_argv, main, need, ok, popen, processes, test, true, until, work_dir,
                       write_file)  # noqa: E402

SH = ['/bin/sh', '-c']

if NATIVE:
    print('1..0 # SKIP the command line of Leat has no native form')
    sys.exit(0)


def ps():
    return json.loads(ok(cli('ps', '--json')).out)


def names():
    return [i['name'] for i in ps()]


def inspect(name):
    info = json.loads(ok(cli('inspect', name, '--json')).out)
    return info[0] if isinstance(info, list) else info


def running(name):
    return any(i['name'] == name and i.get('state', i.get('status')) == 'running' for i in ps())


def forget(name):
    cli('kill', name)
    until(lambda: cli('rm', name).code == 0 or name not in names(), 'rm of ' + name, timeout=5)


# --- exit codes and streams ---------------------------------------------------------------------

@test
def exit_codes():
    for n in (0, 1, 7, 124, 255):
        equal(leat(SH + ['exit %d' % n]).code, n, 'exit code')


@test
def arguments_of_any_bytes():
    raw = b'a\xffb\x80', b'\xf4\x8f\xbf\xbf', 'h\u00e9'.encode()
    show = ['/usr/bin/printf', '%s\\n']
    ok(leat(show + list(raw)), b'\n'.join(raw) + b'\n')
    ok(leat(SH + ['echo "$V"'], opts=['-e', b'V=\xfe\xff']), b'\xfe\xff\n')
    folder = os.path.join(os.fsencode(work_dir('bytes')), b'd\xff')
    os.mkdir(folder)
    ok(leat(['/bin/pwd'], opts=['-w', folder]), folder + b'\n')


@test
def death_by_signal():
    for sig in (signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT):
        got = leat(SH + ['kill -%d $$' % sig]).code
        true(got in (128 + sig, -sig), 'signal %d gives exit %d' % (sig, got))


@test
def stdout_and_stderr_are_apart():
    r = ok(leat(SH + ['echo out; echo err >&2']), 'out\n')
    equal(r.err, b'err\n', 'stderr')


@test
def stdin_pipe_that_stays_open():
    p = popen(leat_argv(['/bin/cat']), stdin=subprocess.PIPE)
    for word in (b'one\n', b'two\n'):
        p.stdin.write(word)
        p.stdin.flush()
        equal(p.stdout.readline(), word, 'echo of cat')
    p.stdin.close()
    equal(p.wait(10), 0, 'exit code')


@test
def output_appears_at_once():
    p = popen(leat_argv(SH + ['echo first; sleep 3; echo second']))
    start = time.monotonic()
    equal(p.stdout.readline(), b'first\n', 'first line')
    true(time.monotonic() - start < 2.5, 'the first line came late')
    p.kill()
    p.wait()


@test
def reader_that_leaves():
    r = execute(['/bin/sh', '-c', '%s run -- /usr/bin/yes | head -3' % LEAT])
    ok(r, 'y\ny\ny\n')


@test
def usage_errors():
    equal(cli('run').code, 125, 'run without a program')
    equal(cli('run', '--no-such-option', '--', '/bin/true').code, 125, 'unknown option')
    equal(cli('run', '--cpus', 'many', '--', '/bin/true').code, 125, 'bad number')
    equal(cli('run', '-p', '99999999:1', '--', '/bin/true').code, 125, 'bad port')
    equal(cli('run', '-v', 'relative', '--', '/bin/true').code, 125, 'bad volume')
    equal(cli('run', '--filter', '/no/such.bpf.o', '--', '/bin/true').code, 125, 'no filter')
    true(cli('nonsense').code != 0, 'an unknown command succeeds')
    r = cli('run', '--cpus', '0', '--', '/bin/true')
    true(r.code == 125 and r.err, 'no explanation for --cpus 0')


@test
def help_and_version():
    for args in (['--help'], ['run', '--help']):
        r = ok(cli(*args))
        true(b'leat' in r.out, 'help of %s' % args)
    ok(cli('--version'))


# --- options of run -----------------------------------------------------------------------------

@test
def environment_option():
    ok(leat(SH + ['echo $A-$B'], opts=['-e', 'A=1', '-e', 'B=two words']), '1-two words\n')


@test
def working_directory_option():
    ok(leat(['/bin/pwd'], opts=['-w', '/usr/share']), '/usr/share\n')
    ok(leat(SH + ['ls -d bash'], opts=['-w', '/usr/share/doc']), 'bash\n')
    equal(leat(['/bin/pwd'], opts=['-w', '/no/such/dir']).code, 125, 'no such folder')


@test
def working_directory_is_the_callers():
    d = work_dir('here')
    write_file(os.path.join(d, 'f'), 'text\n')
    ok(leat(['/bin/cat', 'f'], cwd=d), 'text\n')


@test
def cpus_option():
    for n in (1, 2):
        if n > os.cpu_count():
            continue
        r = ok(leat(['/usr/bin/nproc'], opts=['--cpus', str(n)]))
        equal(r.text, '%d\n' % n, 'nproc')


@test
def memory_option():
    code = 'x = bytearray(400 << 20)\nfor i in range(0, len(x), 4096): x[i] = 1\nprint("had it")'
    r = leat(['/usr/bin/python3', '-c', code], opts=['--memory', '128M'])
    true(r.code != 0 and b'had it' not in r.out, 'took 400 MB with --memory 128M: %s' % r)
    ok(leat(['/usr/bin/python3', '-c', 'x = bytearray(50 << 20); print(len(x))'],
            opts=['--memory', '256M']), '%d\n' % (50 << 20))


@test
def read_only_volume():
    d = work_dir('vol-ro')
    write_file(os.path.join(d, 'f'), 'from the host\n')
    ok(leat(['/bin/cat', '/data/f'], opts=['-v', d + ':/data:ro']), 'from the host\n')
    r = leat(SH + ['echo x > /data/new; echo $?; echo x > /data/f; echo $?; rm /data/f; echo $?'],
             opts=['-v', d + ':/data:ro'])
    true(b'0' not in r.out, 'a write to a read-only volume succeeds: %s' % r)
    equal(os.listdir(d), ['f'], 'the folder on the host')


@test
def read_write_volume():
    d = work_dir('vol-rw')
    os.chmod(d, 0o755)
    write_file(os.path.join(d, 'f'), 'from the host\n')
    ok(leat(SH + ['cat /data/f; echo more >> /data/f; echo new > /data/g; mkdir /data/d; '
                  'mv /data/g /data/d/h; ls /data; cat /data/d/h; chmod 600 /data/d/h'],
            opts=['-v', d + ':/data']), 'from the host\nd\nf\nnew\n')
    equal(open(os.path.join(d, 'f')).read(), 'from the host\nmore\n', 'f on the host')
    h = os.path.join(d, 'd', 'h')
    equal(open(h).read(), 'new\n', 'h on the host')
    equal(stat.S_IMODE(os.stat(h).st_mode), 0o600, 'mode of h')
    equal(os.stat(h).st_uid, os.getuid(), 'owner of h on the host')


@test
def volume_of_a_private_folder():
    d = work_dir('vol-private')
    os.chmod(d, 0o700)
    write_file(os.path.join(d, 'f'), 'secret\n', 0o600)
    ok(leat(['/bin/cat', '/data/f'], opts=['-v', d + ':/data']), 'secret\n')


@test
def volume_is_seen_by_two_instances():
    d = work_dir('vol-two')
    ok(leat(SH + ['echo shared > /v/f'], opts=['-v', d + ':/v']))
    ok(leat(['/bin/cat', '/v/f'], opts=['-v', d + ':/v:ro']), 'shared\n')


@test
def rootfs_option():
    need('busybox')
    d = work_dir('rootfs')
    for sub in ('bin', 'etc', 'tmp'):
        os.mkdir(os.path.join(d, sub))
    shutil.copy('/bin/busybox', os.path.join(d, 'bin/busybox'))
    write_file(os.path.join(d, 'etc/name'), 'another root\n')
    ok(leat(['/bin/busybox', 'cat', '/etc/name'], opts=['--rootfs', d]), 'another root\n')
    r = ok(leat(['/bin/busybox', 'sh', '-c', 'busybox ls /; echo x > /tmp/x; busybox cat /tmp/x'],
                opts=['--rootfs', d]))
    true('usr' not in r.text.split() and 'x' in r.text.split(), 'root is ' + r.text)
    equal(os.listdir(os.path.join(d, 'tmp')), [], 'tmp on the host')


@test
def trace_option():
    r = ok(leat(['/bin/echo', 'hello'], opts=['--trace']), 'hello\n')
    text = r.err.decode(errors='replace')
    true('write(1' in text and 'exit_group' in text and ' = 6' in text,
         'the trace lacks write, exit_group or its result: ' + text[-500:])


@test
def filter_option():
    objects = [os.path.join(dirpath, f) for dirpath, _, files in
               os.walk(os.path.join(os.path.dirname(LEAT), '..')) for f in files
               if f.endswith('.bpf.o')]
    if not objects:
        raise Skip('no filter object was built')
    bad = write_file(os.path.join(work_dir('filter'), 'bad.bpf.o'), b'\x7fELF no object')
    r = leat(['/bin/true'], opts=['--filter', bad])
    true(r.code == 125 and r.err, 'a broken filter gives %s' % r)


# --- instances in the background -----------------------------------------------------------------

@test
def background_ps_inspect_stop_rm():
    ok(cli('run', '-d', '--name', 'bg1', '--tag', 'kind=test', '--', '/bin/sleep', '100'))
    try:
        until(lambda: running('bg1'), 'bg1 runs')
        true('bg1' in cli('ps').text, 'bg1 in ps')
        info = inspect('bg1')
        equal(info['name'], 'bg1', 'name')
        true('test' in json.dumps(info), 'the tag in inspect')
        true(cli('inspect', 'bg1').out, 'inspect without --json')
        true(cli('rm', 'bg1').code != 0, 'rm of a running instance succeeds')
        true(cli('run', '-d', '--name', 'bg1', '--', '/bin/true').code != 0, 'a name twice')
        start = time.monotonic()
        ok(cli('stop', 'bg1'))
        true(time.monotonic() - start < 9, 'stop took long, though sleep obeys SIGTERM')
        until(lambda: not running('bg1'), 'bg1 has ended')
    finally:
        forget('bg1')
    true('bg1' not in names(), 'bg1 after rm')


@test
def logs_of_the_background():
    ok(cli('run', '-d', '--name', 'bg2', '--', '/bin/sh', '-c', 'echo out; echo err >&2; seq 1000'))
    try:
        until(lambda: cli('logs', 'bg2').out.count(b'\n') >= 1001, 'the log is complete')
        text = cli('logs', 'bg2').out + cli('logs', 'bg2').err
        true(b'out\n' in text and b'err\n' in text and b'\n1000\n' in text, 'log: ' + repr(text[:80]))
        until(lambda: not running('bg2'), 'bg2 has ended')
    finally:
        forget('bg2')


@test
def kill_ends_at_once():
    ok(cli('run', '-d', '--name', 'bg3', '--', '/bin/sh', '-c', 'trap "" TERM; while :; do :; done'))
    try:
        until(lambda: running('bg3'), 'bg3 runs')
        time.sleep(0.3)
        ok(cli('kill', 'bg3'))
        until(lambda: not running('bg3'), 'bg3 has ended', timeout=5)
    finally:
        forget('bg3')


@test
def stop_of_a_server_with_a_handler():
    ok(cli('run', '-d', '--name', 'bg4', '--', '/bin/sh', '-c',
           'trap "echo stopping; exit 0" TERM; echo ready; while :; do sleep 0.1; done'))
    try:
        until(lambda: b'ready' in cli('logs', 'bg4').out, 'ready')
        ok(cli('stop', 'bg4'))
        until(lambda: not running('bg4'), 'bg4 has ended')
        true(b'stopping' in cli('logs', 'bg4').out, 'the handler did not run')
    finally:
        forget('bg4')


@test
def unknown_names():
    for command in ('stop', 'kill', 'rm', 'inspect', 'logs'):
        r = cli(command, 'no-such-instance')
        true(r.code != 0 and r.err, '%s of an unknown name: %s' % (command, r))


@test
def ps_of_nothing():
    r = ok(cli('ps', '--json'))
    equal(json.loads(r.out), [], 'ps --json')


@test
def many_at_once():
    ok(leat(['/bin/true']))
    procs = [popen(leat_argv(SH + ['sleep 0.2; echo %d' % i])) for i in range(10)]
    for i, p in enumerate(procs):
        out, err = p.communicate(timeout=30)
        if p.returncode != 0 or out != b'%d\n' % i:
            raise Failed('instance %d: exit %d, %r %r' % (i, p.returncode, out, err[:300]))


@test
def a_hundred_in_a_row():
    for i in range(100):
        ok(leat(['/bin/true']))


# --- terminals and signals ------------------------------------------------------------------------

@test
def terminal_is_a_terminal():
    t = Terminal(leat_argv(SH + ['tty -s && echo is a tty; stty size; test -t 0 && test -t 1 && '
                                 'test -t 2 && echo all three']), rows=33, cols=77)
    try:
        t.expect(b'is a tty')
        t.expect(b'33 77')
        t.expect(b'all three')
        equal(t.wait(), 0, 'exit code')
    finally:
        t.close()


@test
def terminal_lines_and_end_of_file():
    t = Terminal(leat_argv(['/bin/cat']))
    try:
        t.write(b'typed\n')
        t.expect(b'typed')
        t.expect(b'typed')
        t.write(b'\x04')
        equal(t.wait(), 0, 'exit code')
    finally:
        t.close()


@test
def ctrl_c_ends_the_program():
    t = Terminal(leat_argv(SH + ['echo ready; exec sleep 100']))
    try:
        t.expect(b'ready')
        t.write(b'\x03')
        code = t.wait()
        true(code in (130, -2), 'exit %d after Ctrl-C' % code)
    finally:
        t.close()


@test
def ctrl_c_reaches_a_handler():
    t = Terminal(leat_argv(SH + ['trap "echo caught; exit 5" INT; echo ready; '
                                 'while :; do sleep 0.1; done']))
    try:
        t.expect(b'ready')
        t.write(b'\x03')
        t.expect(b'caught')
        equal(t.wait(), 5, 'exit code')
    finally:
        t.close()


@test
def interactive_bash():
    t = Terminal(leat_argv(['/bin/bash', '--norc', '--noprofile', '-i'], opts=['-e', 'PS1=PROMPT>']))
    try:
        t.expect(b'PROMPT>')
        t.write(b'echo $((6 * 7)); false || echo or\n')
        t.expect(b'42\r\n')
        t.expect(b'or')
        t.expect(b'PROMPT>')
        t.write(b'sleep 100\n')
        time.sleep(0.5)
        t.write(b'\x03')
        t.expect(b'PROMPT>')
        t.write(b'ls /usr/share/doc/bash | cat\n')
        t.expect(b'copyright')
        t.expect(b'PROMPT>')
        t.write(b'exit 4\n')
        equal(t.wait(), 4, 'exit code')
    finally:
        t.close()


@test
def terminal_modes_are_restored():
    need('python3')
    t = Terminal(leat_argv(['/usr/bin/python3', '-c', '''
import sys, termios, tty
old = termios.tcgetattr(0)
tty.setraw(0)
print("raw", end="\\r\\n", flush=True)
c = sys.stdin.read(1)
termios.tcsetattr(0, termios.TCSADRAIN, old)
print("got", repr(c))
''']))
    try:
        t.expect(b'raw')
        t.write(b'\x03')
        t.expect(b"got '\\x03'")
        equal(t.wait(), 0, 'exit code')
    finally:
        t.close()


@test
def sigterm_to_leat_reaches_the_program():
    p = popen(leat_argv(SH + ['trap "echo caught; exit 6" TERM; echo ready; '
                              'while :; do sleep 0.1; done']))
    equal(p.stdout.readline(), b'ready\n', 'first line')
    p.send_signal(signal.SIGTERM)
    out, _ = p.communicate(timeout=10)
    equal((p.returncode, out), (6, b'caught\n'), 'exit code and output')


@test
def killed_client_leaves_nothing():
    p = popen(leat_argv(['/bin/sleep', '1000']))
    until(lambda: ps(), 'the instance is there')
    p.kill()
    p.wait()
    until(lambda: not [i for i in ps() if i.get('state', i.get('status')) == 'running'],
          'the instance has ended')


# --- the daemon and confinement -------------------------------------------------------------------

@test
def no_daemon_needs_to_be_started():
    env = dict(ENV, LEAT_STATE_DIR=work_dir('other-state'),
               LEAT_NETNS=ENV['LEAT_NETNS'] + 'x')
    try:
        ok(execute([LEAT, 'run', '--', '/bin/echo', 'alone'], env=env), 'alone\n')
    finally:
        mark = ('LEAT_STATE_DIR=' + env['LEAT_STATE_DIR']).encode()
        for pid in filter(str.isdigit, os.listdir('/proc')):
            try:
                if mark in open('/proc/%s/environ' % pid, 'rb').read():
                    os.kill(int(pid), signal.SIGKILL)
            except OSError:
                pass
        subprocess.run(['ip', 'netns', 'del', env['LEAT_NETNS']], check=False,
                       stderr=subprocess.DEVNULL)


@test
def instance_is_confined():
    p = popen(leat_argv(['/bin/sleep', '987.25']))
    try:
        found = []

        def look():
            # the instance's own processes run under a uid that is not ours
            for pid in processes():
                try:
                    s = open('/proc/%d/status' % pid).read()
                except OSError:
                    continue
                fields = dict(line.split(':\t', 1) for line in s.split('\n') if ':\t' in line)
                if fields['Uid'].split()[0] != '0':
                    found.append(fields)
            return found

        until(look, 'a process with a uid of its own')
        f = found[0]
        equal(f['CapEff'].strip('0'), '', 'effective capabilities')
        equal(f['CapPrm'].strip('0'), '', 'permitted capabilities')
        equal(f['CapBnd'].strip('0'), '', 'bounding set')
        equal(f['NoNewPrivs'], '1', 'no_new_privs')
        equal(f['Seccomp'], '2', 'seccomp mode')
    finally:
        p.kill()
        p.wait()


@test
def host_secrets_are_out_of_reach():
    ok(leat(SH + ['cat /etc/shadow 2>/dev/null; echo $?']), '1\n')
    ok(leat(SH + ['ls /root 2>/dev/null | wc -l']), '0\n')
    ok(leat(SH + ['test -e /proc/1/environ && cat /proc/1/environ 2>/dev/null | wc -c || echo 0']),
       None)


@test
def user():
    show = SH + ['id -u; id -g; id -G; cat /etc/shadow 2>/dev/null | wc -l; f=$(mktemp) && echo x > $f'
                 ' && stat -c %u:%g $f; echo x 2>/dev/null > /etc/not || echo refused']
    ok(leat(show, ['--user', '1234:55']), '1234\n55\n55\n0\n1234:55\nrefused\n')
    native = execute(['setpriv', '--reuid', 'daemon', '--regid', 'daemon', '--init-groups'] + show)
    ok(leat(show, ['-u', 'daemon']), native.out)
    ok(leat(['/usr/bin/id', '-un'], ['-u', 'nobody']), 'nobody\n')
    for name in ('no-such-user', 'daemon:no-such-group', '', '-1'):
        equal(leat(['/bin/true'], ['--user', name]).code, 125, '--user ' + name)


DROP_AND_EXEC = '''
import ctypes, os, sys
os.setgroups([])
os.setgid(78)
os.setuid(77)
if sys.argv[2] == 'nnp':
    ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:2])
'''


@test
def set_user_id_programs():
    drop = leat(SH + ['cp /usr/bin/id /tmp/id && chmod 4755 /tmp/id && cp /tmp/id /tmp/id2 && '
                      'chmod 6755 /tmp/id2 && for i in id id2; do for p in no nnp; do '
                      'python3 -c "$0" /tmp/$i $p; done; done', DROP_AND_EXEC])
    ok(drop, 'uid=77 gid=78 euid=0(root) groups=78\nuid=77 gid=78 groups=78\n'
             'uid=77 gid=78 euid=0(root) egid=0(root) groups=0(root)\nuid=77 gid=78 groups=78\n')


@test
def job_control_of_a_shell_inside():
    term = Terminal(leat_argv(['/bin/bash', '--norc', '-i']))
    try:
        term.expect(b'# ')
        term.write(b'echo rea""dy; cat\n')
        term.expect(b'ready\r\n')
        time.sleep(1)
        term.write(b'one\n')
        term.expect(b'one\r\none')
        term.write(b'\x1a')
        term.expect(b'Stopped')
        term.write(b'jobs\n')
        term.expect(b'Stopped')
        term.write(b'fg\n')
        term.expect(b'cat\r\n')
        time.sleep(0.5)
        term.write(b'two\n')
        term.expect(b'two\r\ntwo')
        term.write(b'\x03')
        term.expect(b'# ')
        term.write(b'sh -c "echo rea""dy; exec sleep 1000"\n')
        term.expect(b'ready\r\n')
        term.write(b'\x1a')
        term.expect(b'Stopped')
        term.write(b'bg\n')
        term.expect(b'sleep 1000" &')
        term.write(b'jobs\n')
        term.expect(b'Running')
        term.write(b'fg\n')
        term.expect(b'sleep 1000"\r\n')
        time.sleep(1)
        term.write(b'\x03')
        term.expect(b'# ')
        term.write(b'echo status $?\n')
        term.expect(b'status 130')
        term.write(b'cat &\n')  # reads in the background, as soon as it has started
        for _ in range(20):
            time.sleep(0.5)
            term.write(b'jobs; echo lis""ted\n')
            if b'Stopped' in term.expect(b'listed'):
                break
        else:
            true(False, 'cat is stopped when it reads')
        term.write(b'kill -9 %1; exit 7\n')
        term.write(b'exit 7\n')
        equal(term.wait(), 7, 'exit code')
    finally:
        term.close()


@test
def bench_syscall():
    only = ('bench', 'syscall', '--quick', '--only', 'getpid,stat')
    figures = {f['name']: f for f in json.loads(ok(cli(*only, '--json', timeout=120)).out)}
    equal(sorted(figures), sorted(c + k for c in ('getpid', 'stat')
                                  for k in ('.native', '.leat', '.ratio')), 'figures')
    for f in figures.values():
        true(f['value'] > 0, '%s is %s' % (f['name'], f['value']))
        equal(f['unit'], 'x' if f['name'].endswith('ratio') else 'ns', 'unit of ' + f['name'])
    true(figures['getpid.ratio']['value'] > 1, 'a trivial call is no faster than natively')
    equal(cli('bench', 'syscall', '--only', 'nothing').code, 125, 'an unknown case')
    equal(cli('bench', 'nothing').code, 125, 'an unknown benchmark')


@test
def idle_instance_uses_no_cpu():
    ok(cli('run', '-d', '--name', 'idle', '--', '/bin/sleep', '100'))
    try:
        until(lambda: running('idle'), 'idle runs')
        time.sleep(1)

        def ticks():
            n = 0
            for pid in processes():
                try:
                    f = open('/proc/%d/stat' % pid).read().rsplit(') ', 1)[1].split()
                except OSError:
                    continue
                n += int(f[11]) + int(f[12])
            return n

        before = ticks()
        time.sleep(2)
        used = ticks() - before
        true(used <= 4, 'leatd and an idle instance used %d ms of CPU in 2 s' % (used * 10))
    finally:
        forget('idle')


if __name__ == '__main__':
    main()
