"""What the tests of images share: trees, OCI layouts by hand, and where things are."""
import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..'))
from leat_test import BUILD, ENV, LEAT, cli, execute, ok, work_dir, write_file  # noqa: E402

LOOK = os.path.join(BUILD, 'tests', 'image', 'look')
BUSYBOX = '/bin/busybox'
TOOLS = ('sh', 'cat', 'ls', 'echo', 'id', 'env', 'pwd', 'sleep', 'rm', 'mkdir', 'mv', 'find', 'touch',
         'nc', 'ln', 'chmod', 'cp', 'true', 'sort', 'wc', 'dd', 'hostname')


def base_tree(name):
    """A small world: busybox and what it needs."""
    root = work_dir(name)
    for d in ('bin', 'etc', 'tmp'):
        os.makedirs(os.path.join(root, d))
    shutil.copy(BUSYBOX, os.path.join(root, 'bin', 'busybox'))
    for tool in TOOLS:
        os.symlink('busybox', os.path.join(root, 'bin', tool))
    shutil.copy(LOOK, os.path.join(root, 'bin', 'look'))
    write_file(os.path.join(root, 'etc', 'passwd'),
               'root:x:0:0::/root:/bin/sh\nann:x:1000:1001::/home/ann:/bin/sh\n')
    write_file(os.path.join(root, 'etc', 'group'), 'root:x:0:\nstaff:x:50:ann\n')
    return root


def odd_tree(root):
    """Everything a tree can have, below root/odd."""
    odd = os.path.join(root, 'odd')
    os.makedirs(os.path.join(odd, 'deep', 'er'))
    write_file(os.path.join(odd, 'small'), 'small\n')
    write_file(os.path.join(odd, 'empty'), '')
    write_file(os.path.join(odd, 'page'), bytes(range(256)) * 16)
    write_file(os.path.join(odd, 'pages'), b'x' * 100001)
    write_file(os.path.join(odd, 'run'), '#!/bin/sh\necho ran $1\n', 0o755)
    with open(os.path.join(odd, 'sparse'), 'wb') as f:
        f.seek(3 << 20)
        f.write(b'end')
    os.link(os.path.join(odd, 'small'), os.path.join(odd, 'hard'))
    os.symlink('deep/er', os.path.join(odd, 'link'))
    os.symlink('x' * 300, os.path.join(odd, 'long link'))
    os.mknod(os.path.join(odd, 'null'), 0o20666, os.makedev(1, 3))
    os.mkfifo(os.path.join(odd, 'fifo'))
    os.makedirs(os.path.join(odd, 'many'))
    for i in range(300):
        write_file(os.path.join(odd, 'many', '%d-%s' % (i, 'n' * (i % 200))), '%d' % i)
    write_file(os.path.join(odd, 'n' * 254), 'a long name')  # mkfs.erofs 1.5 has no more
    write_file(os.path.join(odd, 'n\u00e4me \u4e16'), 'not ASCII')
    for name, attr, value in (('small', 'user.one', b'1'), ('page', 'trusted.t', b't' * 200),
                              ('deep', 'user.dir', b''), ('pages', 'user.one', b'1'),
                              ('run', 'security.x', b'sec')):
        os.setxattr(os.path.join(odd, name), attr, value)
    os.chown(os.path.join(odd, 'page'), 70000, 1234)
    os.chmod(os.path.join(odd, 'pages'), 0o4755)
    os.chmod(os.path.join(odd, 'deep'), 0o1777)
    for n, (top, dirs, files) in enumerate(os.walk(odd, topdown=False)):
        for name in files + ['.']:
            os.utime(os.path.join(top, name), ns=(0, (1600000000 + n) * 10**9 + 123456789),
                     follow_symlinks=False)
    return odd


def build(source, image, *options):
    path = os.path.join(work_dir('image-' + image), image + '.erofs')
    ok(cli('image', 'build', *options, '-o', path, source))
    return path


def image_run(image, *argv, options=(), **kw):
    return execute([LEAT, 'run', '--image', image, *options, '--', *argv], **kw)


def rootfs_run(root, *argv, options=(), **kw):
    return execute([LEAT, 'run', '--rootfs', root, '-w', '/', *options, '-e', 'PATH=/bin', '--',
                    *argv], **kw)


# ---- OCI layouts by hand ----

class Layer:
    """A tar archive in the making."""

    def __init__(self, pax=False):
        self.bytes = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.bytes, mode='w',
                                format=tarfile.PAX_FORMAT if pax else tarfile.GNU_FORMAT)

    def add(self, name, data=b'', kind=tarfile.REGTYPE, link='', mode=0o644, uid=0, pax=None):
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.mode, info.uid, info.gid = kind, link, mode, uid, uid
        info.size, info.mtime = len(data), 1700000000
        info.pax_headers = pax or {}
        self.tar.addfile(info, io.BytesIO(data))
        return self

    def dir(self, name, mode=0o755):
        return self.add(name, kind=tarfile.DIRTYPE, mode=mode)

    def link(self, name, to):
        return self.add(name, kind=tarfile.SYMTYPE, link=to)

    def hard(self, name, to):
        return self.add(name, kind=tarfile.LNKTYPE, link=to)

    def tree(self, root):
        self.tar.add(root, arcname='.')
        return self

    def done(self):
        self.tar.close()
        return self.bytes.getvalue()


def blob(layout, data):
    digest = hashlib.sha256(data).hexdigest()
    write_file(os.path.join(layout, 'blobs', 'sha256', digest), data)
    return {'digest': 'sha256:' + digest, 'size': len(data)}


def make_layout(name, layers, config=None, refs=('latest',), compress='gzip'):
    """An OCI layout with one image of these layers (bytes of tar archives)."""
    layout = work_dir(name)
    os.makedirs(os.path.join(layout, 'blobs', 'sha256'))
    write_file(os.path.join(layout, 'oci-layout'), '{"imageLayoutVersion": "1.0.0"}')
    kind = 'application/vnd.oci.image.'
    listed = []
    for data in layers:
        suffix = {'gzip': '+gzip', 'zstd': '+zstd', None: ''}[compress]
        if compress == 'gzip':
            data = gzip.compress(data, 1)
        elif compress == 'zstd':
            data = subprocess.run(['zstd', '-q', '-c'], input=data, stdout=subprocess.PIPE,
                                  check=True).stdout
        listed.append(dict(blob(layout, data), mediaType=kind + 'layer.v1.tar' + suffix))
    settings = {'architecture': 'amd64', 'os': 'linux', 'config': config or {},
                'rootfs': {'type': 'layers', 'diff_ids': []}}
    manifest = {'schemaVersion': 2, 'mediaType': kind + 'manifest.v1+json',
                'config': dict(blob(layout, json.dumps(settings).encode()),
                               mediaType=kind + 'config.v1+json'),
                'layers': listed}
    entry = dict(blob(layout, json.dumps(manifest).encode()), mediaType=kind + 'manifest.v1+json')
    index = {'schemaVersion': 2, 'manifests': [
        dict(entry, annotations={'org.opencontainers.image.ref.name': ref}) for ref in refs]}
    write_file(os.path.join(layout, 'index.json'), json.dumps(index))
    return layout


def listing(image):
    """{path: (kind and mode, uid, bytes of a small file or target of a link)} of an image."""
    r = ok(image_run(image, '/bin/look', '/', options=('--entrypoint', '')))
    return r.text


STATE_DIR = ENV['LEAT_STATE_DIR']
