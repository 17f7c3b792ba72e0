#!/usr/bin/python3
"""OCI layouts: as umoci and skopeo make them, and as an enemy does."""
import hashlib
import json
import os
import shutil
import sys
import tarfile

sys.path.insert(0, os.path.dirname(__file__))
from image_test import (BUSYBOX, LOOK, Layer, base_tree, build, cli, execute, image_run, make_layout,
                        ok, work_dir, write_file)  # noqa: E402
from leat_test import Failed, WORK, equal, first_difference, main, need, test, true  # noqa: E402

if not os.path.exists(BUSYBOX) or not shutil.which('mkfs.erofs'):
    print('1..0 # SKIP busybox-static or erofs-utils is not installed')
    sys.exit(0)

BASE = base_tree('base')


def base_layer():
    return Layer().tree(BASE).done()


def tree(image, where='/'):
    return ok(image_run(image, '/bin/look', '.', options=('--entrypoint', '', '-u', '0', '-w',
                                                          where))).text


def names(image, where='/t'):
    r = ok(image_run(image, 'find', where, options=('--entrypoint', '')))
    return sorted(r.text.split())


def content(image, path):
    return ok(image_run(image, 'cat', path, options=('--entrypoint', ''))).text


def fails(layout, part, *options):
    out = os.path.join(work_dir('fails'), 'x.erofs')
    r = cli('image', 'build', *options, '-o', out, layout)
    equal(r.code, 125, 'refused: %s' % r)
    true(part.encode() in r.err and r.err.count(b'\n') == 1, 'with %r: %s' % (part, r))
    equal(os.listdir(os.path.dirname(out)), [], 'nothing is left')


# ---- peers ----

def umoci_image():
    """Three layers by umoci, the second with whiteouts; the layout and umoci's own unpacking."""
    need('umoci')
    layout, bundle = os.path.join(work_dir('umoci'), 'l'), os.path.join(work_dir('bundle'), 'b')
    tag = layout + ':v1'
    ok(execute(['umoci', 'init', '--layout', layout]))
    ok(execute(['umoci', 'new', '--image', tag]))

    def change(fn):
        shutil.rmtree(bundle, ignore_errors=True)
        ok(execute(['umoci', 'unpack', '--image', tag, bundle]))
        fn(os.path.join(bundle, 'rootfs'))
        ok(execute(['umoci', 'repack', '--image', tag, bundle]))

    def first(root):
        ok(execute(['cp', '-a', BASE + '/.', root]))
        os.makedirs(root + '/t/keep/below')
        os.makedirs(root + '/t/gone/below')
        os.makedirs(root + '/t/again')
        for name in ('keep/below/f', 'gone/below/f', 'again/old', 'file', 'replaced'):
            write_file(root + '/t/' + name, name)
        os.link(root + '/t/file', root + '/t/hard')
        os.mknod(root + '/t/null', 0o20666, os.makedev(1, 3))
        os.setxattr(root + '/t/file', 'user.x', b'value')
        os.chown(root + '/t/file', 1234, 70000)

    def second(root):
        shutil.rmtree(root + '/t/gone')
        shutil.rmtree(root + '/t/again')
        os.makedirs(root + '/t/again')
        write_file(root + '/t/again/new', 'new')
        os.remove(root + '/t/replaced')
        os.makedirs(root + '/t/replaced/by')
        os.symlink('/t/keep', root + '/t/link')
        write_file(root + '/t/set', 'x', 0o4755)

    change(first)
    change(second)
    change(lambda root: write_file(root + '/t/keep/below/g', 'third'))
    ok(execute(['umoci', 'config', '--image', tag, '--config.entrypoint', '/bin/sh',
                '--config.entrypoint', '-c', '--config.cmd', 'echo $GREETING; pwd', '--config.env',
                'GREETING=hello', '--config.workingdir', '/t/keep']))
    shutil.rmtree(bundle)
    ok(execute(['umoci', 'unpack', '--image', tag, bundle]))
    return layout, os.path.join(bundle, 'rootfs')


@test
def what_umoci_makes():
    layout, root = umoci_image()
    path = build(layout, 'umoci')
    want = execute([LOOK, '.'], cwd=root).out
    got = ok(image_run(path, '/bin/look', '.', options=('--entrypoint', '', '-w', '/'))).out
    # what every instance has of its own is not the image's
    own = (b'./dev', b'./proc', b'./sys', b'./run', b'./etc:', b'./etc/resolv.conf', b'./etc/hosts')
    want, got = (b'\n'.join(line for line in text.split(b'\n') if not line.startswith(own) and
                            not line.startswith(b'.:')) for text in (want, got))
    if want != got:
        raise Failed(first_difference(want, got))
    equal(ok(execute([os.path.join(os.environ['LEAT_BUILD'], 'apps', 'leat'), 'run', '--image',
                      path])).text, 'hello\n/t/keep\n', 'its configuration')


@test
def what_skopeo_makes():
    """Copied by skopeo, with zstd; and several images in one layout."""
    need('skopeo')
    source = make_layout('for-skopeo', [base_layer(), Layer().dir('t').add('t/f', b'one').done()])
    other = make_layout('for-skopeo-2', [base_layer(), Layer().dir('t').add('t/f', b'two').done()])
    both = os.path.join(work_dir('skopeo'), 'both')
    ok(execute(['skopeo', 'copy', '--dest-compress-format', 'zstd', '--dest-compress',
                'oci:' + source + ':latest', 'oci:' + both + ':one']))
    ok(execute(['skopeo', 'copy', 'oci:' + other + ':latest', 'oci:' + both + ':two']))
    equal(content(build(both, 'one', '--ref', 'one'), '/t/f'), 'one', 'the first')
    equal(content(build(both, 'two', '--ref', 'two'), '/t/f'), 'two', 'the second')
    fails(both, '--ref')
    fails(both, 'no image named three', '--ref', 'three')


# ---- layers over one another ----

def layered(name, *layers, **kw):
    return build(make_layout(name, [base_layer(), *(one.done() for one in layers)], **kw), name)


@test
def whiteouts():
    path = layered('whiteouts',
                   Layer().dir('t').dir('t/a').add('t/a/x').add('t/b').dir('t/c').add('t/c/y')
                   .add('t/.whole'),
                   # a whiteout hides older layers only, wherever it stands in its own
                   Layer().dir('t').add('t/b', b'new').add('t/.wh.b').add('t/.wh.a')
                   .add('t/.wh.not-there').add('t/no/.wh.such'))
    equal(names(path), ['/t', '/t/.whole', '/t/b', '/t/c', '/t/c/y'], 'what is left')
    equal(content(path, '/t/b'), 'new', 'the layer\'s own')


@test
def opaque_folders():
    path = layered('opaque',
                   Layer().dir('t').dir('t/a').add('t/a/x').dir('t/a/d').add('t/a/d/y').add('t/b'),
                   Layer().dir('t/a').add('t/a/z').add('t/a/.wh..wh..opq').dir('t/a/d')
                   .add('t/a/d/n'))
    equal(names(path), ['/t', '/t/a', '/t/a/d', '/t/a/d/n', '/t/a/z', '/t/b'], 'what is left')


@test
def kinds_replace_one_another():
    path = layered('kinds',
                   Layer().dir('t').add('t/f').dir('t/d').add('t/d/x').link('t/l', 'f')
                   .dir('t/e', 0o700),
                   Layer().dir('t/f').add('t/f/in').add('t/d', b'file').add('t/l', b'own')
                   .dir('t/e', 0o755).hard('t/h', 't/d').add('./t//./odd', b'x').add('/t/abs'))
    equal(names(path), ['/t', '/t/abs', '/t/d', '/t/e', '/t/f', '/t/f/in', '/t/h', '/t/l', '/t/odd'],
          'names')
    equal(content(path, '/t/h'), 'file', 'the hard link')
    equal(content(path, '/t/l'), 'own', 'a file in place of a link')


@test
def attributes_of_entries():
    path = layered('attributes',
                   Layer(pax=True).dir('t').add('t/f', b'x', mode=0o4751, uid=70000,
                                                pax={'SCHILY.xattr.user.k': 'value',
                                                     'mtime': '1600000000.5'})
                   .add('t/n\u00e4me', b'x').link('t/dangling', '/nowhere')
                   .add('t/fifo', kind=tarfile.FIFOTYPE), compress=None)
    text = tree(path, '/t')
    for line in ('./f: 104751 70000:70000 0 1 1600000000.500000000', './n\u00e4me: sum',
                 './dangling -> /nowhere', './fifo: 10644'):
        true(line in text, line + ' in ' + text)
    r = ok(image_run(path, '/bin/look', '/t', 'x'))
    true('/t/f: user.k: 5' in r.text, r.text)


# ---- enemies ----

@test
def nothing_leads_out():
    """Names and links that would leave the root reach, at most, the root itself."""
    outside = work_dir('outside')
    write_file(os.path.join(outside, 'victim'), 'whole')
    depth = '../' * 12
    for name, layer in {
            'dots': Layer().add(depth + outside[1:] + '/made'),
            'dots in the middle': Layer().dir('t').add('t/' + depth + outside[1:] + '/made'),
            'hard link by dots': Layer().hard('h', depth + outside[1:] + '/victim'),
            'whiteout by dots': Layer().add(depth + outside[1:] + '/.wh.victim'),
            'hard link out': Layer().hard('h', outside + '/victim'),
            'only dots': Layer().add('..')}.items():
        fails(make_layout('enemy', [base_layer(), layer.done()]), 'layer 2')
        equal(sorted(os.listdir(outside)), ['victim'], name)
    # an absolute link is one inside the image
    path = layered('inside', Layer().link('l', outside).dir(outside[1:]).add('l/made', b'in')
                   .link('up', depth + 'etc').add('up/made', b'in'),
                   Layer().add('l/.wh.victim').add('l/.wh..wh..opq'))
    equal(sorted(os.listdir(outside)), ['victim'], 'through a link')
    with open(os.path.join(outside, 'victim')) as f:
        equal(f.read(), 'whole', 'the victim')
    equal(content(path, '/etc/made'), 'in', 'a link upwards ends at the root')
    # a link that takes the place of a folder between two entries
    fails(make_layout('swap', [base_layer(), Layer().link('d', '/nowhere').add('d/x').done()]),
          'layer 2')
    path = layered('magic', Layer().link('m', '/proc/self/root' + outside).dir('proc/self/root' + outside)
                   .add('m/made', b'in'))
    equal(sorted(os.listdir(outside)), ['victim'], 'through the host\'s /proc')


@test
def damaged_layouts():
    good = make_layout('good', [base_layer()])

    def copy():
        d = os.path.join(work_dir('broken'), 'l')
        shutil.copytree(good, d)
        return d

    def manifest(d):
        with open(os.path.join(d, 'index.json')) as f:
            index = json.load(f)
        path = os.path.join(d, 'blobs/sha256', index['manifests'][0]['digest'][7:])
        with open(path) as f:
            return index, json.load(f), path

    d = copy()
    _, listed, _ = manifest(d)
    path = os.path.join(d, 'blobs/sha256', listed['layers'][0]['digest'][7:])
    with open(path, 'r+b') as f:
        f.seek(100)
        f.write(b'XX')
    fails(d, 'another digest')
    os.truncate(path, 100)
    fails(d, 'its size')
    os.remove(path)
    fails(d, 'No such file')
    d = copy()
    index, _, path = manifest(d)
    write_file(path, 'not JSON')
    fails(d, 'damaged')
    for wrong, part in (('sha256:../../../etc/passwd', 'digest'), ('md5:00', 'digest'),
                        ('', 'digest')):
        index['manifests'][0]['digest'] = wrong
        write_file(os.path.join(d, 'index.json'), json.dumps(index))
        fails(d, part)
    write_file(os.path.join(d, 'index.json'), '{')
    fails(d, 'index.json')
    write_file(os.path.join(d, 'index.json'), '{"manifests": []}')
    fails(d, 'no image')
    fails(make_layout('no-tar', [b'this is no tar archive' * 100]), 'layer 1')
    half = base_layer()
    fails(make_layout('half', [half[:len(half) // 2 + 100]]), 'layer 1')


@test
def other_platforms_are_left_alone():
    d = make_layout('platforms', [base_layer(), Layer().dir('t').add('t/f', b'ours').done()])
    with open(os.path.join(d, 'index.json')) as f:
        index = json.load(f)
    ours = index['manifests'][0]
    nested = json.dumps({'schemaVersion': 2, 'manifests': [
        dict(ours, platform={'os': 'linux', 'architecture': 'arm64'},
             digest='sha256:' + '0' * 64),
        dict(ours, platform={'os': 'linux', 'architecture': 'amd64'})]}).encode()
    digest = hashlib.sha256(nested).hexdigest()
    write_file(os.path.join(d, 'blobs/sha256', digest), nested)
    write_file(os.path.join(d, 'index.json'), json.dumps({'manifests': [
        {'mediaType': 'application/vnd.oci.image.index.v1+json', 'digest': 'sha256:' + digest,
         'size': len(nested)}]}))
    equal(content(build(d, 'platform'), '/t/f'), 'ours', 'the one for this machine')
    equal(len(os.listdir(WORK)) > 0, True, 'the work folder is whole')


main()
