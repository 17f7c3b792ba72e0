#!/usr/bin/python3
"""Static programs in Leat: Go's, musl's, busybox. usage: static.py FOLDER-OF-THE-PROGRAMS"""
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..'))
from leat_test import Skip, main, ok, leat, same, test, work_dir, execute  # noqa: E402

BUILT = sys.argv[1]


def program(name):
    """A copy where instances can read it, however private the build folder is."""
    path = os.path.join(BUILT, name)
    if not os.path.exists(path):
        raise Skip(name + ' is not built')
    copy = os.path.join(work_dir('static-' + name), name)
    shutil.copy(path, copy)
    os.chmod(copy, 0o755)
    return copy


@test
def go_program():
    same([program('go-server')], code=4)


@test
def go_program_on_one_cpu():
    ok(leat([program('go-server')], opts=['--cpus', '1']), execute([program('go-server')]).out, 4)


@test
def musl_program():
    same([program('musl-all'), 'argument'], code=9)


@test
def musl_hello():
    same([program('musl-hello')], code=0)


@test
def program_in_a_private_folder():
    path = program('musl-hello')
    os.chmod(os.path.dirname(path), 0o700)
    ok(leat([path]), 'hello\n')


@test
def program_by_a_relative_path():
    path = program('musl-hello')
    same(['./musl-hello'], cwd=os.path.dirname(path))


@test
def static_busybox_shell():
    same(['/bin/busybox', 'sh', '-c', 'for i in 1 2 3; do echo $i | busybox cat; done; busybox true'])


if __name__ == '__main__':
    main()
