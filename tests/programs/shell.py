#!/usr/bin/python3
"""Shells in Leat: dash, bash and busybox, with what people write in them."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..'))
from leat_test import (ENV, NATIVE, Skip, execute, equal, leat, leat_argv, main, need, ok, same,
                       test, true, work_dir, write_file)  # noqa: E402

SH = ['/bin/sh', '-c']
BASH = ['/bin/bash', '-c']


@test
def echo_hello():
    ok(leat(['/bin/echo', 'hello']), 'hello\n')


@test
def exit_code_of_sh():
    ok(leat(SH + ['exit 7']), '', 7)


@test
def stdin_through_tr():
    ok(leat(['/usr/bin/tr', 'a-c', 'A-C'], stdin=b'abc\n'), 'ABC\n')


@test
def true_and_false():
    same(['/bin/true'], code=0)
    same(['/bin/false'], code=1)


@test
def program_without_a_path():
    ok(leat(['echo', 'found in PATH']), 'found in PATH\n')


@test
def pipeline_of_bash():
    ok(leat(BASH + ['seq 1000 | sort -rn | head -3 | tr "\\n" " "']), '1000 999 998 ')


@test
def long_pipeline():
    same(BASH + ['seq 100000 | sed s/1/x/ | grep x | awk "{n++} END {print n}" | cat | rev'])


@test
def here_documents():
    same(SH + ['cat <<EOF | tr a-z A-Z\nfirst $((1+1))\nsecond $(echo sub)\nEOF\ncat <<"E"\n$x\nE'])


@test
def here_string_and_process_substitution():
    same(BASH + ['read a b <<< "one two"; echo $b $a; paste <(seq 3) <(seq 4 6); '
                 'seq 5 | tee >(wc -l) | tail -1 | cat; wait'],
         edit=lambda b: b'\n'.join(sorted(b.split(b'\n'))))


@test
def redirections():
    d = work_dir('redirect')
    same(SH + ['cd %s; echo one > f; echo two >> f; cat < f; ls nothing 2>&1 | wc -l; '
               'exec 3<f; read x <&3; echo $x; exec 3<&-; echo err >&2; : > f; wc -c < f; rm f' % d],
         stderr=True)


@test
def background_jobs_and_wait():
    same(BASH + ['for i in 1 2 3; do (sleep 0.0$i; exit $i) & p[$i]=$!; done; '
                 'for i in 3 1 2; do wait ${p[$i]}; echo $i $?; done; wait; echo all'])


@test
def traps_and_kill():
    same(BASH + ['trap "echo got usr1" USR1; trap "echo bye" EXIT; kill -USR1 $$; '
                 'sleep 5 & kill $!; wait $! 2>/dev/null; echo $?; '
                 '(kill -9 $BASHPID); echo $?'])


@test
def subshells_and_functions():
    same(BASH + ['f() { local x=$1; [ $x -le 1 ] && echo 1 && return; '
                 'echo $((x * $(f $((x-1))))); }; f 10; (cd /; pwd); pwd > /dev/null; '
                 'a=(x y z); echo ${#a[@]} ${a[-1]}; declare -A m=([k]=v); echo ${m[k]}; '
                 'printf "%05d|%s|%x\\n" 42 str 255; [[ abc =~ b(.) ]] && echo ${BASH_REMATCH[1]}'])


@test
def loops_that_fork():
    same(SH + ['i=0; while [ $i -lt 100 ]; do /bin/true; i=$(expr $i + 1); done; echo $i'],
         timeout=60)


@test
def exit_by_signal():
    r = execute(SH + ['kill -TERM $$'])
    equal(r.code, -15, 'natively')
    # as a shell shows it, 128+n: leat has ended, it was not killed
    got = leat(SH + ['kill -TERM $$']).code
    true(got in (143, -15), 'exit %d, want 143 or death by SIGTERM' % got)


@test
def exit_by_segv():
    got = leat(SH + ['kill -SEGV $$']).code
    true(got in (139, -11), 'exit %d, want 139' % got)


@test
def command_not_found():
    if NATIVE:
        raise Skip('of leat itself')
    got = leat(['/no/such/program'])
    equal(got.code, 127, 'exit code')
    true(got.err != b'', 'an explanation on stderr')
    equal(leat(['no-such-program-anywhere']).code, 127, 'exit code')
    same(SH + ['no-such-program'], code=127)


@test
def not_executable():
    if NATIVE:
        raise Skip('of leat itself')
    d = work_dir('noexec')
    p = write_file(os.path.join(d, 'data'), 'no program\n')
    equal(leat([p]).code, 126, 'exit code')
    equal(leat([d]).code, 126, 'exit code of a directory')


@test
def writes_do_not_reach_the_host():
    if NATIVE:
        raise Skip('it writes to /etc')
    ok(leat(SH + ['echo x > /etc/leat-was-here && cat /etc/leat-was-here']), 'x\n')
    true(not os.path.exists('/etc/leat-was-here'), 'the host has /etc/leat-was-here')
    d = work_dir('precious')
    f = write_file(os.path.join(d, 'file'), 'text', 0o666)
    os.chmod(d, 0o777)
    ok(leat(SH + ['rm -rf %s; echo y > %s; ls -d %s 2>/dev/null; echo $?' % (d, d, f)]), '2\n')
    equal(open(f).read(), 'text', 'the file on the host')


@test
def instances_do_not_see_each_other():
    if NATIVE:
        raise Skip('there are no instances')
    ok(leat(SH + ['echo mine > /tmp/leat-private; cat /tmp/leat-private']), 'mine\n')
    ok(leat(SH + ['cat /tmp/leat-private 2>/dev/null || echo nothing']), 'nothing\n')


@test
def scripts_with_a_shebang():
    d = work_dir('shebang')
    p = write_file(os.path.join(d, 'script'), '#!/bin/bash -e\necho "$0" "$#" "$1"\nexit 9\n', 0o755)
    same([p, 'an argument', 'b'], code=9)


@test
def large_output():
    same(SH + ['seq 300000'])


@test
def large_input():
    same(['/usr/bin/wc'], stdin=b'some words on a line\n' * 200000)
    same(['/bin/cat'], stdin=os.urandom(3000000))


@test
def closed_output():
    same(BASH + ['yes | head -1000 | wc -l; yes | head -1 > /dev/null; echo ${PIPESTATUS[0]}'])


@test
def stdin_is_a_file():
    d = work_dir('stdin')
    p = write_file(os.path.join(d, 'in'), 'line 1\nline 2\n')
    for argv in (['/bin/cat'], SH + ['read x; echo "[$x]"; cat']):
        with open(p, 'rb') as f:
            want = subprocess.run(argv, stdin=f, stdout=subprocess.PIPE, check=True).stdout
        with open(p, 'rb') as f:
            got = subprocess.run(leat_argv(argv), stdin=f, stdout=subprocess.PIPE, check=False,
                                 env=ENV, timeout=20).stdout
        equal(got, want, 'output of %s' % argv)


@test
def many_environment_variables_and_arguments():
    same(SH + ['echo $#; echo "$@" | wc -c; env | wc -l', 'sh'] + ['argument-%d' % i
                                                               for i in range(3000)],
         edit=lambda b: b.rsplit(b'\n', 2)[0])


@test
def busybox_applets():
    need('busybox')
    same(['/bin/busybox', 'ls', '-l', '/etc'], edit=lambda b: b)
    same(['/bin/busybox', 'sh', '-c', 'echo $((6*7)); seq 5 | busybox sort -r | busybox head -2'])
    same(['/bin/busybox', 'sha1sum', '/bin/busybox'])
    same(['/bin/busybox', 'find', '/usr/share/doc/bash'],
         edit=lambda b: b'\n'.join(sorted(b.split(b'\n'))))


@test
def arithmetic_of_time():
    r = leat(BASH + ['s=$(date +%s%N); sleep 0.2; e=$(date +%s%N); echo $(( (e-s)/1000000 ))'])
    ok(r)
    true(200 <= int(r.text) < 3000, 'sleep 0.2 took %s ms' % r.text.strip())


@test
def proc_and_identity():
    ok(leat(SH + ['id -u; echo $$; cat /proc/self/comm; ls /proc/self/fd | wc -l > /dev/null']),
       None)
    same(SH + ['id -u; cat /proc/self/comm; readlink /proc/self/exe; test -r /proc/cpuinfo; echo $?'])


@test
def deep_process_tree():
    same(BASH + ['f() { if [ $1 -gt 0 ]; then (f $(($1-1))); else echo bottom; fi; }; f 30'])


@test
def fifo_between_processes():
    d = work_dir('fifo')
    same(SH + ['cd %s; rm -f p; mkfifo p; (echo through > p) & cat p; wait; rm p' % d])


@test
def read_with_timeout():
    same(BASH + ['if read -t 0.1 x; then echo got; else echo $?; fi'], stdin=None, edit=None)


@test
def ulimit_and_umask():
    same(BASH + ['umask 027; touch /tmp/leat-t.um; stat -c %a /tmp/leat-t.um; rm /tmp/leat-t.um; '
                 'ulimit -n 50; ulimit -n'])


# ---- pseudo-terminals ----

@test
def script_records_a_session():
    need('script')
    same(SH + ['script -qec "tty; stty size; stty -a | head -1; exit 3" /tmp/leat-t.typescript '
               '</dev/null; echo $?; sed -n 2,4p /tmp/leat-t.typescript; '
               'rm /tmp/leat-t.typescript'],
         edit=lambda out: re.sub(rb'/dev/pts/[0-9]+', b'PTS', out))


@test
def tmux_session():
    need('tmux')
    out = leat(SH + ['export TERM=screen TMUX_TMPDIR=/tmp/leat-t.tmux; mkdir -p $TMUX_TMPDIR; '
                     'tmux -L leat new-session -d -x 60 -y 10 '
                     '"echo shown; cat > /tmp/leat-t.typed; tmux -L leat wait-for -S end" && '
                     'until tmux -L leat capture-pane -p | grep shown; do sleep 0.05; done; '
                     'tmux -L leat send-keys "typed text" Enter C-d && tmux -L leat wait-for end; '
                     'cat /tmp/leat-t.typed; rm /tmp/leat-t.typed; tmux -L leat kill-server; '
                     'rm -r $TMUX_TMPDIR'])
    equal(out.out, b'shown\ntyped text\n', 'tmux')


if __name__ == '__main__':
    main()
