"""How the tests in Python run programs in Leat and compare them with native runs.

A test is a function marked @test; main() runs them all, each with a verdict in TAP. Python's
standard library only.

    LEAT_BUILD    the build folder (meson sets it)
    LEAT_NATIVE=1 runs everything natively: checks the tests themselves
    LEAT_PREFIX   runs programs with these words before them instead of with `leat run --`, e.g.
                  tests/libos/mini-launcher and the image: the library OS without leatd
    arguments     names of tests, or parts of names: runs only those
"""
import fcntl
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import traceback

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), '..'))
BUILD = os.path.realpath(os.environ.get('LEAT_BUILD', os.path.join(ROOT, 'build')))
LEAT = os.path.join(BUILD, 'apps', 'leat')
NATIVE = os.environ.get('LEAT_NATIVE') == '1'
PREFIX = os.environ.get('LEAT_PREFIX', '').split()
TIMEOUT = float(os.environ.get('LEAT_TIMEOUT', '30'))

TESTS = []


class Failed(AssertionError):
    """A test's expectation was not met."""


class Skip(Exception):
    """The machine lacks what the test needs."""


def test(f):
    TESTS.append(f)
    return f


def need(*programs):
    for p in programs:
        if not shutil.which(p):
            raise Skip(p + ' is not installed')


class Result:
    def __init__(self, code, out, err=b'', argv=()):
        self.code, self.out, self.err, self.argv = code, out, err, argv

    @property
    def text(self):
        return self.out.decode(errors='replace')

    def __str__(self):
        return 'exit %s\n  stdout %s\n  stderr %s' % (self.code, clip(self.out), clip(self.err))


def clip(data, limit=1500):
    text = data.decode(errors='backslashreplace')
    if len(text) > limit:
        text = text[:limit] + '... (%d bytes)' % len(data)
    return repr(text) if '\n' not in text else '\n    ' + text.replace('\n', '\n    ')


def equal(got, want, what='value'):
    if got != want:
        raise Failed('%s: got %r, want %r' % (what, got, want))


def true(value, what):
    if not value:
        raise Failed(what)


def first_difference(a, b):
    for n, (x, y) in enumerate(zip(a.split(b'\n'), b.split(b'\n')), 1):
        if x != y:
            return 'line %d: native %s | leat %s' % (n, clip(x, 300), clip(y, 300))
    return 'lengths %d and %d' % (len(a), len(b))


# The environment of one test program: a leatd of its own, and a folder that instances can read.
STATE = tempfile.mkdtemp(prefix='leat-state-')
WORK = tempfile.mkdtemp(prefix='leat-work-')
os.chmod(WORK, 0o777)
ENV = dict(os.environ, LEAT_STATE_DIR=STATE, LEAT_NETNS='leat-t%d' % os.getpid(), LC_ALL='C',
           TZ='UTC', HOME='/', PYTHONDONTWRITEBYTECODE='1')
for name in ('MAKEFLAGS', 'MAKELEVEL', 'MFLAGS', 'NINJA_STATUS', 'MESON_TEST_ITERATION',
             'MALLOC_PERTURB_', 'LEAT_TIMEOUT', 'PYENV_VERSION', 'PYTHONPATH'):
    ENV.pop(name, None)
ENV['PATH'] = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'


def parent_of(pid):
    with open('/proc/%d/stat' % pid) as f:
        return int(f.read().rsplit(') ', 1)[1].split()[1])


def processes():
    """Pids of every process that our leatd started, itself included.

    leat, leatd and the launcher carry our state folder's name in their environment; instances are
    the launcher's descendants, and have no environment that the host could see.
    """
    mark = ('LEAT_STATE_DIR=' + STATE).encode()
    found, parents = set(), {}
    for pid in map(int, filter(str.isdigit, os.listdir('/proc'))):
        try:
            parents[pid] = parent_of(pid)
            with open('/proc/%d/environ' % pid, 'rb') as f:
                if pid != os.getpid() and mark in f.read().split(b'\0'):
                    found.add(pid)
        except OSError:
            pass
    more = True
    while more:
        more = {pid for pid, up in parents.items() if up in found} - found
        found |= more
    return sorted(found)


def kill_all():
    """Ends what a hung test left behind."""
    for _ in range(20):
        pids = list(processes())
        if not pids:
            return
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        time.sleep(0.05)


def popen(argv, **kw):
    kw.setdefault('env', ENV)
    kw.setdefault('cwd', WORK)
    kw.setdefault('stdin', subprocess.DEVNULL)
    kw.setdefault('stdout', subprocess.PIPE)
    kw.setdefault('stderr', subprocess.PIPE)
    return subprocess.Popen(argv, start_new_session=True, **kw)


def execute(argv, stdin=None, timeout=None, **kw):
    """Runs a command natively to its end."""
    if stdin is not None:
        kw['stdin'] = subprocess.PIPE
    p = popen(argv, **kw)
    try:
        out, err = p.communicate(stdin, timeout or TIMEOUT)
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, signal.SIGKILL)
        try:
            out, err = p.communicate(timeout=3)
        except subprocess.TimeoutExpired:
            kill_all()
            out, err = p.communicate()
        kill_all()
        raise Failed('no end after %g s: %s\n  stdout %s\n  stderr %s' % (
            timeout or TIMEOUT, ' '.join(argv), clip(out), clip(err))) from None
    return Result(p.returncode, out, err, argv)


def leat_argv(argv, opts=()):
    if NATIVE:
        return list(argv)
    if PREFIX:
        return PREFIX + list(argv)
    return [LEAT, 'run', *opts, '--', *argv]


def leat(argv, opts=(), **kw):
    """Runs a program in a new instance to its end."""
    return execute(leat_argv(argv, opts), **kw)


def cli(*args, **kw):
    """Runs any other command of the CLI."""
    return execute([LEAT, *args], **kw)


def ok(result, out=None, code=0):
    """The expected exit code, and output if given."""
    if isinstance(out, str):
        out = out.encode()
    if result.code != code or (out is not None and result.out != out):
        raise Failed('want exit %d%s, got %s' % (
            code, '' if out is None else ' and ' + clip(out), result))
    return result


def same(argv, opts=(), stdin=None, edit=None, stderr=False, code=None, **kw):
    """Runs natively and in Leat; exit code and output must be equal, after edit(bytes) of both."""
    native = execute(argv, stdin=stdin, **kw)
    inside = leat(argv, opts, stdin=stdin, **kw)
    edit = edit or (lambda b: b)
    if code is not None:
        equal(native.code, code, 'native exit code')
    if inside.code != native.code:
        raise Failed('native exit %d, in Leat %s' % (native.code, inside))
    if edit(inside.out) != edit(native.out):
        raise Failed('stdout differs: %s\n  stderr %s' % (
            first_difference(edit(native.out), edit(inside.out)), clip(inside.err)))
    if stderr and edit(inside.err) != edit(native.err):
        raise Failed('stderr differs: ' + first_difference(edit(native.err), edit(inside.err)))
    return inside


class Terminal:
    """A program on a pseudo-terminal of its own, as an interactive shell would start it."""

    def __init__(self, argv, rows=24, cols=80):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', rows, cols, 0, 0))

        def own():
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.proc = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env=ENV,
                                     cwd=WORK, start_new_session=True, preexec_fn=own)
        os.close(slave)
        self.seen = b''

    def write(self, data):
        os.write(self.master, data)

    def expect(self, want, timeout=10):
        """Reads until the bytes have come."""
        end = time.monotonic() + timeout
        while want not in self.seen:
            left = end - time.monotonic()
            if left <= 0 or not self.read(left):
                raise Failed('the terminal never showed %r, but %s' % (want, clip(self.seen)))
        before, _, self.seen = self.seen.partition(want)
        return before + want

    def read(self, timeout):
        ready, _, _ = select.select([self.master], [], [], timeout)
        if not ready:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return False
        self.seen += data
        return bool(data)

    def wait(self, timeout=10):
        end = time.monotonic() + timeout
        while self.proc.poll() is None:
            if time.monotonic() > end:
                raise Failed('still running; the terminal shows ' + clip(self.seen))
            self.read(0.05)
        while self.read(0.05):
            pass
        return self.proc.returncode

    def close(self):
        if self.proc.poll() is None:
            self.proc.kill()
            self.proc.wait()
        os.close(self.master)


def until(predicate, what, timeout=10, step=0.05):
    """Waits for a truth."""
    end = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed('not within %g s: %s' % (timeout, what))
        time.sleep(step)


def work_dir(name):
    """A fresh folder that native programs and instances can reach."""
    path = os.path.join(WORK, name)
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    os.chmod(path, 0o755)
    return path


def write_file(path, data, mode=0o644):
    with open(path, 'wb') as f:
        f.write(data if isinstance(data, bytes) else data.encode())
    os.chmod(path, mode)
    return path


def finish():
    if not NATIVE and os.path.exists(LEAT):
        kill_all()
    subprocess.run(['ip', 'netns', 'del', ENV['LEAT_NETNS']], stderr=subprocess.DEVNULL,
                   check=False)
    shutil.rmtree(STATE, ignore_errors=True)
    shutil.rmtree(WORK, ignore_errors=True)


def run_one(f, n):
    """(verdict line, explanation)"""
    name = f.__name__.replace('_', ' ')
    start = time.monotonic()
    try:
        f()
        return True, 'ok %d - %s (%.1f s)' % (n, name, time.monotonic() - start), ''
    except Skip as e:
        return True, 'ok %d - %s # SKIP %s' % (n, name, e), ''
    except (Failed, OSError, subprocess.SubprocessError) as e:
        return False, 'not ok %d - %s (%.1f s)' % (n, name, time.monotonic() - start), str(e)
    except Exception:  # a mistake in the test itself is a failure like any other
        return False, 'not ok %d - %s' % (n, name), traceback.format_exc()


def main():
    if not NATIVE and not PREFIX and not os.path.exists(LEAT):
        print('not ok 1 - %s is built\n1..1' % LEAT)
        sys.exit(1)
    wanted = [a.replace('_', ' ') for a in sys.argv[1:] if not a.startswith('/')]
    tests = [f for f in TESTS
             if not wanted or any(w in f.__name__.replace('_', ' ') for w in wanted)]
    failed = 0
    try:
        for n, f in enumerate(tests, 1):
            good, line, why = run_one(f, n)
            failed += not good
            print(line)
            for text in why.split('\n') if why else []:
                print('#   ' + text)
            sys.stdout.flush()
    finally:
        finish()
    print('1..%d' % len(tests))
    sys.exit(1 if failed else 0)
