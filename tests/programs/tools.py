#!/usr/bin/python3
"""Debian's tools in Leat: files, text, archives, compression, databases, git, make."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..'))
from leat_test import (NATIVE, Skip, equal, leat, main, need, ok, same, test, true, work_dir,
                       write_file)  # noqa: E402

SH = ['/bin/sh', '-c']


def sorted_lines(b):
    return b'\n'.join(sorted(b.split(b'\n')))


@test
def ls_of_a_tree():
    same(['/bin/ls', '-lR', '/usr/share/doc'], timeout=60)


@test
def ls_options():
    same(['/bin/ls', '-la', '/etc', '/bin', '/usr/lib/os-release'])
    same(['/bin/ls', '-i1d', '/nothing'], stderr=True)


@test
def sha256sum_of_a_large_file():
    path = '/usr/bin/python3.11' if os.path.exists('/usr/bin/python3.11') else '/bin/bash'
    same(['/usr/bin/sha256sum', path])


@test
def find_and_xargs():
    same(['/usr/bin/find', '/usr/share/perl5', '-name', '*.pm', '-size', '+4k', '-printf',
          '%p %s %m %y\n'], edit=sorted_lines)
    same(SH + ['find /usr/share/doc -name "c*" -type f -print0 | xargs -0 -n 20 cat | md5sum'],
         edit=None, timeout=60)


@test
def grep_recursive():
    same(['/bin/grep', '-rlI', 'Copyright', '/usr/share/doc/bash', '/usr/share/doc/dash',
          '/usr/share/doc/libc6'], edit=sorted_lines)
    same(['/bin/grep', '-c', 'root', '/etc/passwd'])
    same(['/bin/grep', 'nowhere to be found', '/etc/passwd'], code=1)


@test
def sed_awk_cut_paste():
    same(SH + ['sed -n "s/:.*bash$//p" /etc/passwd; awk -F: "{s+=\\$3} END {print s}" /etc/passwd; '
               'cut -d: -f1,7 /etc/passwd | paste -sd,; head -c 100 /etc/services | od -c | tail -3; '
               'fold -w 30 /etc/hostname; nl /etc/debian_version; tac /etc/passwd | head -1; '
               'comm <(true) 2>/dev/null; join /dev/null /dev/null; expr 3 + 4; factor 1234567890; '
               'echo 2^64 | wc -c; date -u -d @0; basename /a/b.c .c; dirname /a/b'])


@test
def sed_in_place():
    d = work_dir('sedi')
    write_file(os.path.join(d, 'f'), 'one\ntwo\n')
    r = leat(SH + ['cd %s; sed -i s/one/ONE/ f; cat f; ls' % d])
    ok(r, 'ONE\ntwo\nf\n')


@test
def sort_large():
    same(SH + ['seq 200000 | shuf --random-source=/bin/bash | sort -n --parallel=4 -S 1M | md5sum; '
               'seq 50000 | sort -R --random-source=/bin/bash | sort -u | wc -l'], timeout=60)


@test
def tar_and_compressors():
    for flag, tool in (('z', 'gzip'), ('J', 'xz'), ('j', 'bzip2')):
        need(tool)
        same(SH + ['cd /tmp && rm -rf leat-t.tar && mkdir leat-t.tar && cd leat-t.tar && '
                   'tar c%sf a.tar -C /usr/share/doc/bash . && tar t%sf a.tar | sort && mkdir x && '
                   'tar x%sf a.tar -C x && diff -r x /usr/share/doc/bash && echo equal; '
                   'cd /; rm -rf /tmp/leat-t.tar' % (flag, flag, flag)], timeout=60)


@test
def xz_with_threads():
    need('xz')
    same(SH + ['seq 300000 | xz -T4 -1 | xz -dc | md5sum'], timeout=60)


@test
def cp_mv_ln_rm():
    same(SH + ['cd /tmp; rm -rf leat-t.cp; cp -a /usr/share/doc/bash leat-t.cp; cd leat-t.cp; '
               'mv README* old 2>/dev/null; ln -s old new; ln old hard 2>/dev/null; ls -l | wc -l; '
               'du -s --apparent-size . | cut -f1 | wc -l; cp -r . ../leat-t.cp2; '
               'diff -r . ../leat-t.cp2 && echo same; touch -d "2001-02-03 04:05:06" t; '
               'stat -c "%y %s %F" t; chmod -R go-rwx .; stat -c %A t; rm -rf ../leat-t.cp2; '
               'mkdir -p a/b/c; rmdir a/b/c; test -d a/b && echo dir; cd ..; rm -rf leat-t.cp; '
               'ls leat-t.cp 2>&1'])


@test
def dd_and_truncate():
    same(SH + ['cd /tmp; dd if=/dev/zero of=leat-t.dd bs=64k count=50 2>/dev/null; wc -c < leat-t.dd; '
               'dd if=/bin/bash of=leat-t.dd bs=1000 seek=10 conv=notrunc 2>/dev/null; '
               'md5sum < leat-t.dd; truncate -s 12345 leat-t.dd; stat -c %s leat-t.dd; '
               'rm leat-t.dd'])


@test
def tail_follow():
    same(SH + ['cd /tmp; echo one > leat-t.tail; (sleep 0.3; echo two >> leat-t.tail) & '
               'timeout 2 tail -f -s 0.1 leat-t.tail | head -2; wait; rm leat-t.tail'])


@test
def timeout_and_nice():
    same(['/usr/bin/timeout', '0.2', '/bin/sleep', '10'], code=124)
    same(['/usr/bin/timeout', '5', '/bin/true'], code=0)
    same(['/usr/bin/env', '-i', 'A=b', '/usr/bin/env'])


@test
def sqlite_on_disk():
    need('sqlite3')
    same(SH + ['cd /tmp; rm -f leat-t.db; sqlite3 leat-t.db "create table t(a integer primary key, b); '
               'begin; with recursive n(x) as (select 1 union all select x+1 from n where x<5000) '
               'insert into t select x, hex(x) from n; commit; select count(*), sum(a), max(b) from t;"; '
               'sqlite3 leat-t.db "pragma journal_mode=wal; update t set b=1 where a%2; '
               'pragma integrity_check; select count(*) from t where b=1;"; rm -f leat-t.db*'])


@test
def git_init_and_commit():
    need('git')
    same(SH + ['''cd /tmp && rm -rf leat-t.git && mkdir leat-t.git && cd leat-t.git &&
        export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b \
               GIT_AUTHOR_DATE="2001-01-01 00:00:00 +0000" GIT_CONFIG_NOSYSTEM=1 \
               GIT_COMMITTER_DATE="2001-01-01 00:00:00 +0000" &&
        git init -q -b main . && for i in $(seq 30); do echo $i > f$i; done && git add . &&
        git commit -qm first && echo change >> f1 && git commit -qam second && git log --oneline &&
        git diff HEAD~1 --stat && git checkout -qb other && git gc -q && git fsck && git status -s &&
        git clone -q . ../leat-t.git/copy 2>&1 && ls copy | wc -l; cd /; rm -rf /tmp/leat-t.git'''],
         timeout=90)


@test
def make_in_parallel():
    need('make')
    d = work_dir('make')
    rules = 'all: ' + ' '.join('o%d' % i for i in range(20)) + '\n\tcat $^ | md5sum\n'
    rules += 'o%:\n\techo $@ > $@\n'
    write_file(os.path.join(d, 'Makefile'), rules)
    same(SH + ['cp -r %s /tmp/leat-t.make && cd /tmp/leat-t.make && make -s -j4; make -s; '
               'rm -rf /tmp/leat-t.make' % d], timeout=60)


@test
def compile_with_gcc():
    need('gcc')
    same(SH + ['cd /tmp; echo "#include <stdio.h>\nint main(void) { puts(\\"compiled\\"); return 3; }" '
               '> leat-t.c; gcc -O2 -o leat-t.out leat-t.c && ./leat-t.out; echo $?; '
               'rm -f leat-t.c leat-t.out'], timeout=90)


@test
def dpkg_and_file():
    same(['/usr/bin/dpkg', '--compare-versions', '1.2', 'lt', '1.10'], code=0)
    same(SH + ['dpkg -L bash | sort | head -20; dpkg-query -W bash'])


@test
def diff_patch_cmp():
    same(SH + ['cd /tmp; seq 100 > leat-t.a; seq 100 | sed 50d > leat-t.b; diff -u leat-t.a leat-t.b | '
               'tail -n +3; cmp leat-t.a leat-t.b; rm leat-t.a leat-t.b'])


@test
def openssl_speed_of_hash():
    need('openssl')
    same(SH + ['openssl dgst -sha512 /bin/bash; echo text | openssl enc -aes-256-cbc -K 00 -iv 00 '
               '2>/dev/null | xxd -p; openssl rand 10 | wc -c'])


@test
def processes_are_visible():
    need('ps')
    r = leat(SH + ['sleep 5.125 & ps ax | grep -v sh.-c | grep -c "[s]leep 5.125"; kill $!'])
    equal(r.text.strip(), '1', 'sleeping processes that ps shows')


@test
def memory_limit_is_shown():
    if NATIVE:
        raise Skip('a limit of leat')
    r = ok(leat(SH + ['grep MemTotal /proc/meminfo'], opts=['--memory', '256M']))
    kib = int(r.text.split()[1])
    true(200 * 1024 <= kib <= 256 * 1024, 'MemTotal %d kB with --memory 256M' % kib)


@test
def df_and_mount_tell_something():
    r = ok(leat(SH + ['df / | tail -1 | wc -l; grep -c " / " /proc/mounts']))
    equal(r.text.split(), ['1', '1'], 'df and mounts')


if __name__ == '__main__':
    main()
