#!/usr/bin/python3
"""Interpreters in Leat: Python with its modules, threads and children, and Perl."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..'))
from leat_test import leat, main, need, ok, same, test, work_dir, write_file  # noqa: E402

PY = ['/usr/bin/python3', '-c']


@test
def python_nothing():
    same(['/usr/bin/python3', '-c', 'pass'], code=0)


@test
def python_modules():
    ok(leat(PY + ['import ssl,sqlite3,threading,json; '
                  'print(sqlite3.connect(":memory:").execute("select 6*7").fetchone())']), '(42,)\n')


@test
def python_many_modules():
    same(PY + ['import asyncio, ctypes, decimal, email, http.server, multiprocessing, subprocess, '
               'unittest, urllib.request, uuid, zipfile, lzma, bz2, hashlib; print(len("ok"))'])


@test
def python_threads():
    same(PY + ['''
import threading, queue
q, out = queue.Queue(), []
def work():
    while True:
        n = q.get()
        if n is None: return
        out.append(n * n)
ts = [threading.Thread(target=work) for _ in range(8)]
[t.start() for t in ts]
[q.put(i) for i in range(1000)]
[q.put(None) for _ in ts]
[t.join() for t in ts]
print(sum(out), len(out))
'''])


@test
def python_subprocess():
    same(PY + ['''
import subprocess
print(subprocess.run(["echo", "hi"], capture_output=True).stdout)
print(subprocess.run("cat; exit 3", shell=True, input=b"in", capture_output=True))
p = subprocess.Popen(["sort"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
print(p.communicate("b\\na\\n"))
try:
    subprocess.run(["sleep", "10"], timeout=0.2)
except subprocess.TimeoutExpired as e:
    print("timeout")
try:
    subprocess.run(["/no/such"])
except FileNotFoundError as e:
    print(e)
'''])


@test
def python_multiprocessing():
    d = work_dir('mp')
    p = write_file(os.path.join(d, 'mp.py'), '''
import multiprocessing as mp
def f(x): return x * x
if __name__ == "__main__":
    with mp.get_context("fork").Pool(3) as pool:
        print(pool.map(f, range(20)))
    q = mp.get_context("fork").SimpleQueue()
    p = mp.get_context("fork").Process(target=q.put, args=("through the queue",))
    p.start(); print(q.get()); p.join(); print(p.exitcode)
''')
    same(['/usr/bin/python3', p], timeout=60)


@test
def python_os_fork_and_wait():
    same(PY + ['''
import os, signal
r, w = os.pipe()
pid = os.fork()
if pid == 0:
    os.write(w, b"child"); os._exit(3)
print(os.read(r, 10), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
pid = os.fork()
if pid == 0:
    os.kill(os.getpid(), signal.SIGKILL)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print(os.system("exit 5") >> 8, os.popen("echo popen").read())
'''])


@test
def python_asyncio():
    same(PY + ['''
import asyncio
async def handle(r, w):
    w.write((await r.readline()).upper()); await w.drain(); w.close()
async def one(port, i):
    r, w = await asyncio.open_connection("127.0.0.1", port)
    w.write(b"line %d\\n" % i); s = await r.read(); w.close(); return s
async def main():
    s = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = s.sockets[0].getsockname()[1]
    print(sorted(await asyncio.gather(*[one(port, i) for i in range(20)]))[:2])
    p = await asyncio.create_subprocess_exec("echo", "async", stdout=asyncio.subprocess.PIPE)
    print(await p.communicate(), p.returncode)
    await asyncio.sleep(0.05)
asyncio.run(main())
'''])


@test
def python_http_server():
    same(PY + ['''
import http.server, threading, urllib.request, os
os.chdir("/usr/share/doc/bash")
s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
s.RequestHandlerClass.log_message = lambda *a: None
threading.Thread(target=s.serve_forever, daemon=True).start()
u = "http://127.0.0.1:%d/" % s.server_port
for i in range(10):
    body = urllib.request.urlopen(u + "copyright").read()
print(len(body))
try: urllib.request.urlopen(u + "nothing")
except Exception as e: print(e)
'''])


@test
def python_signals_and_timers():
    same(PY + ['''
import signal, time
n = []
signal.signal(signal.SIGALRM, lambda *a: n.append(1))
signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
while len(n) < 3: time.sleep(0.01)
signal.setitimer(signal.ITIMER_REAL, 0)
print(len(n) >= 3)
try: signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt: print("interrupt")
'''])


@test
def python_exit_codes():
    same(PY + ['import sys; sys.exit(3)'], code=3)
    same(PY + ['raise ValueError("text")'], code=1, stderr=True)


@test
def python_files_and_mmap():
    same(PY + ['''
import mmap, os, tempfile, shutil, glob
d = tempfile.mkdtemp()
p = os.path.join(d, "f")
open(p, "wb").write(b"x" * 100000)
with open(p, "r+b") as f:
    m = mmap.mmap(f.fileno(), 0); m[5:8] = b"abc"; print(m.find(b"abc")); m.flush(); m.close()
print(open(p, "rb").read(10), os.path.getsize(p))
print(sorted(os.listdir("/usr/share/doc/bash"))[:3], len(glob.glob("/etc/*")) > 10)
os.rename(p, p + "2"); print(os.listdir(d)); shutil.rmtree(d); print(os.path.exists(d))
print(os.stat("/etc/passwd").st_size == len(open("/etc/passwd").read()))
'''])


@test
def python_memory():
    same(PY + ['x = [bytearray(1000) for _ in range(100000)]; del x; '
               'y = bytearray(200 << 20); y[-1] = 1; print(len(y))'])


@test
def python_floats_across_calls():
    same(PY + ['import math, os, threading\nr=[]\ndef f(s):\n  x=s\n  for i in range(20000):\n'
               '    x = math.sin(x)*3+s\n    if i % 50 == 0: os.getppid()\n  r.append(x)\n'
               'ts=[threading.Thread(target=f,args=(k,)) for k in range(4)]\n'
               '[t.start() for t in ts]; [t.join() for t in ts]; print(sorted(r))'])


@test
def perl_programs():
    need('perl')
    same(['/usr/bin/perl', '-e', '''
$| = 1; my %h; $h{$_ % 7}++ for 1..10000; print join(",", map {"$_=$h{$_}"} sort keys %h), "\n";
open(my $p, "-|", "seq 5") or die; print while <$p>; close $p;
my $pid = fork(); if (!$pid) { exit 4 } waitpid($pid, 0); print $? >> 8, "\n";
$SIG{ALRM} = sub { die "alarm\n" }; eval { alarm 1; select(undef, undef, undef, 5) }; print $@;
print "hello world" =~ /(w\\w+)/ ? "$1\n" : "no\n"; print `echo backtick`;
'''])


@test
def perl_sockets():
    need('perl')
    same(['/usr/bin/perl', '-MIO::Socket::INET', '-e', '''
my $l = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1") or die "listen $!";
if (!fork()) { my $c = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $l->sockport);
  print $c "one line\n"; print <$c>; exit 0 }
my $s = $l->accept; my $x = <$s>; print $s "got $x"; close $s; wait; print "status $?\n";
'''])


if __name__ == '__main__':
    main()
