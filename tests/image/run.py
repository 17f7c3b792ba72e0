#!/usr/bin/python3
"""Images as a user meets them: made of folders, run, differential against the folder itself;
damaged ones; the store."""
import json
import os
import shutil
import struct
import subprocess
import sys

sys.path.insert(0, os.path.dirname(__file__))
from image_test import (BUSYBOX, LEAT, LOOK, STATE_DIR, base_tree, build, cli, execute, image_run,
                        odd_tree, ok, rootfs_run, work_dir, write_file)  # noqa: E402
from leat_test import Failed, equal, first_difference, main, need, test, true, until  # noqa: E402

if not os.path.exists(BUSYBOX) or not shutil.which('mkfs.erofs'):
    print('1..0 # SKIP busybox-static or erofs-utils is not installed')
    sys.exit(0)

ROOT = base_tree('world')
odd_tree(ROOT)
write_file(os.path.join(ROOT, 'etc', 'guarded'), 'x\n', 0o600)
IMAGE = os.path.join(work_dir('image'), 'world.erofs')


def image():
    if not os.path.exists(IMAGE):
        ok(cli('image', 'build', '-o', IMAGE, ROOT))
    return IMAGE


def mkfs(name, *options):
    path = os.path.join(work_dir('mkfs-' + name), name + '.erofs')
    ok(execute(['mkfs.erofs', '--quiet', *options, path, ROOT]))
    return path


def same_as_folder(path, *argv, edit=lambda b: b):
    want, got = ok(rootfs_run(ROOT, *argv)), image_run(path, *argv)
    equal(got.code, want.code, 'exit code of %s: %s' % (argv, got))
    if edit(got.out) != edit(want.out):
        raise Failed('%s: %s' % (argv, first_difference(edit(want.out), edit(got.out))))
    return got


@test
def an_image_is_what_its_folder_is():
    # owners that the host knows are shown there, those of the image here: all are the same but
    # that root's are the host's root, which an instance with a folder sees as it is
    r = same_as_folder(image(), '/bin/look', '/odd')
    true('/odd/sparse: SIGBUS behind the end' in r.text, 'files were mapped: ' + r.text[:300])


@test
def images_of_any_layout():
    """As mkfs.erofs makes them: ends of files beside inodes, in chunks, with holes, small inodes."""
    for name, options in (('inline', ()), ('chunks', ('--chunksize=4096',)),
                          ('indexes', ('--chunksize=8192', '-Eforce-chunk-indexes')),
                          ('shared', ('-x1', '-Eforce-inode-extended'))):
        same_as_folder(mkfs(name, *options), '/bin/look', '/odd')


@test
def extended_attributes():
    want = subprocess.run([LOOK, '.', 'x'], cwd=os.path.join(ROOT, 'odd'), stdout=subprocess.PIPE,
                          check=True).stdout
    for path in (image(), mkfs('shared-xattrs', '-x1')):
        got = ok(image_run(path, '/bin/look', '.', 'x', options=('-w', '/odd'))).out
        if got != want:
            raise Failed(first_difference(want, got))


@test
def changes_stay_inside():
    for path in (image(), mkfs('inline-changed')):
        r = ok(image_run(path, '/bin/look', 'change', '/odd/pages', '/odd/small', '/odd/page'))
        true('/odd/pages: written through the mapping: !' in r.text and
             '/odd/small: written: ?' in r.text and '/odd/page: cut to 1' in r.text and
             '/odd/small: user.mine: 1' in r.text and '/odd/small: user.one: 1' in r.text, r.text)
        same_as_folder(path, '/bin/look', '/odd')
    script = ('cd /odd && rm small && mkdir new && echo x > new/f && mv deep moved && '
              'rm -r many && mkdir many && ls many && ls moved && ls -d small || ls new; '
              'chmod 600 page; ls -l page | cut -c1-10; mv hard small; cat small; '
              'rm -r /bin/look /odd/link; ln -s x /odd/link; ls -la /odd | wc -l')
    want, got = rootfs_run(ROOT, 'sh', '-c', script), image_run(image(), 'sh', '-c', script)
    equal((got.code, got.out), (want.code, want.out), 'a script that changes things')


@test
def programs_run_from_it():
    equal(ok(image_run(image(), '/odd/run', 'yes')).text, 'ran yes\n', 'a script')
    equal(image_run(image(), '/odd/small').code, 126, 'not executable')
    equal(image_run(image(), '/odd/nothing').code, 127, 'not there')
    ok(image_run(image(), 'sh', '-c', 'for i in 1 2 3 4 5; do sh -c "ls /odd >/dev/null"; done'))


@test
def a_dynamic_program_of_the_host():
    need('bash', 'ldd')
    root = base_tree('dynamic')
    files = {'/bin/bash', '/usr/bin/md5sum'}
    for program in list(files):
        for word in ok(execute(['ldd', program])).text.split():
            if word.startswith('/'):
                files.add(word)
    for name in files:
        place = root + name
        os.makedirs(os.path.dirname(place), exist_ok=True)
        shutil.copy(os.path.realpath(name), place)
    script = '/usr/bin/md5sum /bin/bash; echo "$BASH_VERSION"; for i in {1..50}; do (:); done; echo $((6*7))'
    want = ok(rootfs_run(root, '/bin/bash', '-c', script, options=('-e', 'LD_BIND_NOW=1')))
    path = build(root, 'dynamic')
    got = ok(image_run(path, '/bin/bash', '-c', script))
    equal(got.out, want.out, 'bash')
    inline = os.path.join(work_dir('mkfs-dynamic'), 'd.erofs')
    ok(execute(['mkfs.erofs', '--quiet', inline, root]))
    equal(ok(image_run(inline, '/bin/bash', '-c', script)).out, want.out, 'from an inline image')


@test
def no_file_of_the_host_is_in_the_sandbox():
    ok(cli('run', '-d', '--name', 'im', '--image', image(), '--', 'sleep', '1000'))
    text = ok(cli('inspect', '--sandbox', 'im')).text
    shown = json.loads(ok(cli('inspect', '--json', 'im')).text)
    ok(cli('rm', '-f', 'im'))
    calls = {line.split(':')[0] for line in text.splitlines()}
    for call in ('openat', 'newfstatat', 'getdents64', 'readlinkat', 'fstatfs', 'unlinkat'):
        true(call not in calls, call + ' is not in the set')
    equal(shown.get('image'), image(), 'leat inspect shows the image')
    vol = work_dir('vol')
    ok(cli('run', '-d', '--name', 'im', '--image', image(), '-v', vol + ':/v:ro', '--', 'sleep',
           '1000'))
    text = ok(cli('inspect', '--sandbox', 'im')).text
    ok(cli('rm', '-f', 'im'))
    true('openat' in text and 'unlinkat' not in text, 'a volume brings its own calls')


@test
def volumes_over_an_image():
    vol = work_dir('vol2')
    write_file(os.path.join(vol, 'f'), 'of the host\n')
    r = ok(image_run(image(), 'sh', '-c', 'cat /new/place/f; echo back > /new/place/g',
                     options=('-v', vol + ':/new/place')))
    equal(r.text, 'of the host\n', 'read')
    with open(os.path.join(vol, 'g')) as f:
        equal(f.read(), 'back\n', 'written')


@test
def users_are_those_of_the_image():
    script = 'id -u; id -g; echo $HOME; pwd'
    equal(ok(image_run(image(), 'sh', '-c', script)).text, '0\n0\n/root\n/\n', 'root')
    equal(ok(image_run(image(), 'sh', '-c', script, options=('-u', 'ann', '-w', '/odd'))).text,
          '1000\n1001\n/home/ann\n/odd\n', 'by name')
    r = image_run(image(), 'true', options=('-u', 'nobody-there'))
    equal(r.code, 125, 'unknown')
    # files of the image have their owners, and are guarded by them
    r = image_run(image(), 'sh', '-c', 'cat /etc/guarded', options=('-u', 'ann'))
    true(r.code == 1 and b'denied' in r.err, 'a file of root is not read by ann: %s' % r)
    equal(ok(image_run(image(), 'cat', '/etc/guarded')).text, 'x\n', 'but by root')


@test
def nothing_of_the_host_shows():
    r = ok(image_run(image(), 'sh', '-c', 'ls / /..; ls /root 2>/dev/null; env'))
    true('usr\n' not in r.text and 'LEAT' not in r.text, r.text)
    equal(ok(image_run(image(), 'hostname', options=('--name', 'called-so'))).text, 'called-so\n',
          'host name')


@test
def the_description():
    config = write_file(os.path.join(work_dir('conf'), 'c.json'), json.dumps({
        'Entrypoint': ['/bin/echo', 'entry'], 'Cmd': ['cmd'], 'Env': ['A=1', 'B=2'],
        'WorkingDir': '/odd', 'User': 'ann', 'ExposedPorts': {'8099/tcp': {}}}))
    path = build(ROOT, 'described', '--config', config)
    run = lambda *a, **kw: ok(execute([LEAT, 'run', '--image', path, *a], **kw)).text  # noqa: E731
    equal(run(), 'entry cmd\n', 'Entrypoint and Cmd')
    equal(run('--', 'other', 'words'), 'entry other words\n', 'arguments instead of Cmd')
    equal(run('--entrypoint', '/bin/sh', '--', '-c', 'echo $A $B; id -u; pwd'), '1 2\n1000\n/odd\n',
          'Env, User, WorkingDir')
    equal(run('-e', 'A=9', '-w', '/', '-u', '0', '--entrypoint', '', '--', 'sh', '-c',
              'echo $A $B; id -u; pwd'), '9 2\n0\n/\n', 'the caller is heard first')
    r = execute([LEAT, 'run', '--image', image()])
    true(r.code == 125 and b'names none' in r.err, 'no program at all: %s' % r)
    ok(cli('run', '-d', '--name', 'ports', '-P', '--image', path, '--entrypoint', '', '-u', '0', '--',
           'sh', '-c', 'while :; do echo hi | nc -l -p 8099; done'))
    got = until(lambda: execute(['sh', '-c', 'echo | nc -w 2 127.0.0.1 8099']).out,
                'the exposed port answers')
    ok(cli('rm', '-f', 'ports'))
    equal(got, b'hi\n', 'through the exposed port')


# ---- what cannot be used ----

def refused(path, part):
    r = image_run(path, 'true')
    equal(r.code, 125, '%s is refused: %s' % (path, r))
    true(part.encode() in r.err and r.err.count(b'\n') == 1, 'in one line with %r: %s' % (part, r))


@test
def images_that_are_refused():
    d = work_dir('refused')
    with open(image(), 'rb') as f:
        good = f.read()
    refused(mkfs('lz4', '-zlz4'), 'compressed')
    refused(os.path.join(d, 'none.erofs'), 'No such file')
    refused(d + '/', 'not an EROFS image')
    refused('no-such-name', 'leat image ls')
    refused('Bad Name', 'cannot use the image')
    refused(write_file(d + '/text.erofs', 'text' * 5000), 'not an EROFS image')
    refused(write_file(d + '/empty.erofs', ''), 'not an EROFS image')
    refused(write_file(d + '/cut.erofs', good[:1 << 20]), 'cut off')
    refused(write_file(d + '/sum.erofs', good[:1030] + b'X' + good[1031:]), 'checksum')
    refused(write_file(d + '/footer.erofs', good[:-56] + b'\xff' * 8 + good[-48:]), 'description')
    r = execute([LEAT, 'run', '--image', image(), '--rootfs', ROOT, '--', 'true'])
    equal(r.code, 125, 'an image and a folder')


@test
def damage_behind_the_checksum_is_the_instances_own():
    """The inode of one directory is overwritten: who looks there gets EUCLEAN, and goes on."""
    with open(image(), 'rb') as f:
        data = bytearray(f.read())
    meta = struct.unpack_from('<I', data, 1024 + 40)[0] * 4096
    nid = int(ok(image_run(image(), 'ls', '-id', '/odd/many')).text.split()[0])
    data[meta + nid * 32: meta + nid * 32 + 20] = b'\xff' * 20
    bad = write_file(os.path.join(work_dir('damaged'), 'bad.erofs'), bytes(data))
    r = image_run(bad, 'sh', '-c', 'ls /odd/many; echo $?; cat /odd/small')
    true(b'Structure needs cleaning' in r.err and r.out.endswith(b'1\nsmall\n'), str(r))
    same_as_folder(image(), '/bin/look', '/odd/many')


# ---- the store ----

@test
def the_store():
    run = lambda name: image_run(name, 'cat', '/odd/small')  # noqa: E731
    first = ok(cli('image', 'build', '-t', 'team/app:1', ROOT)).text.strip()
    equal(ok(cli('image', 'build', '-t', 'team/app:1', ROOT)).text.strip(), first,
          'the same folder is the same image')
    equal(ok(cli('image', 'import', '-t', 'again', image())).text.strip(), first, 'and imported')
    other = base_tree('other')
    os.makedirs(os.path.join(other, 'odd'))
    write_file(os.path.join(other, 'odd', 'small'), 'second\n')
    second = ok(cli('image', 'build', '-t', 'team/app:2', other)).text.strip()
    true(first != second, 'another folder is another image')
    for name, text in (('team/app:1', 'small\n'), ('again', 'small\n'), ('again:latest', 'small\n'),
                       ('team/app:2', 'second\n'), (second, 'second\n')):
        equal(ok(run(name)).text, text, name)
    listed = {e['name']: e['digest'] for e in json.loads(ok(cli('image', 'ls', '--json')).text)}
    equal(listed, {'team/app:1': first, 'team/app:2': second, 'again:latest': first}, 'leat image ls')
    ok(cli('image', 'build', '-t', 'team/app:1', other))
    equal(ok(run('team/app:1')).text, 'second\n', 'a name moves on')
    ok(cli('image', 'rm', 'again'))
    equal(run(first).code, 125, 'content goes with its last name')
    true(b'no image' in cli('image', 'rm', 'again').err, 'a name that is not there')
    ok(cli('run', '-d', '--name', 'user', '--image', 'team/app:2', '--', 'sh', '-c',
           'sleep 2; cat /odd/small'))
    ok(cli('image', 'rm', second))
    equal(json.loads(ok(cli('image', 'ls', '--json')).text), [], 'all names of a digest')
    until(lambda: cli('logs', 'user').out == b'second\n', 'who runs it has it until its end')
    ok(cli('rm', '-f', 'user'))
    left = [f for _, _, files in os.walk(os.path.join(STATE_DIR, 'data')) for f in files]
    equal(left, [], 'files left in the store')


@test
def a_damaged_content_is_found():
    digest = ok(cli('image', 'build', '-t', 'rotten', ROOT)).text.strip()
    ok(cli('image', 'inspect', '--verify', 'rotten'))
    path = os.path.join(STATE_DIR, 'data', 'images', 'sha256', digest[7:] + '.erofs')
    with open(path, 'r+b') as f:
        f.seek(os.path.getsize(path) // 2)
        byte = f.read(1)
        f.seek(-1, 1)
        f.write(bytes([byte[0] ^ 1]))
    r = cli('image', 'inspect', '--verify', 'rotten')
    true(r.code == 125 and b'is damaged' in r.err, str(r))
    ok(cli('image', 'rm', 'rotten'))


main()
