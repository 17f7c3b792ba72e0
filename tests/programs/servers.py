#!/usr/bin/python3
"""Servers and large runtimes in Leat: nginx with workers, PostgreSQL, node, Java, a compiler."""
import glob
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..'))
from leat_test import leat, main, need, ok, test, true, work_dir, write_file, Skip  # noqa: E402

NGINX = '''
set -e
mkdir -p /tmp/ng/html; echo hello-nginx > /tmp/ng/html/index.html
cat > /tmp/ng/conf <<'C'
worker_processes 2; pid /tmp/ng/pid; error_log /tmp/ng/errors; user root;
events { worker_connections 64; }
http { access_log off; server { listen 127.0.0.1:8088; root /tmp/ng/html; } }
C
nginx -p /tmp/ng -c /tmp/ng/conf
for i in 1 2 3 4 5 6 7 8; do curl -s http://127.0.0.1:8088/; done
curl -s -o /dev/null -w '%{http_code}\\n' http://127.0.0.1:8088/nothing
kill -QUIT $(cat /tmp/ng/pid)
while [ -e /tmp/ng/pid ]; do sleep 0.1; done
echo stopped
'''

POSTGRES = '''
import os, pwd, subprocess, sys, time
bin, user = sys.argv[1], pwd.getpwnam("postgres")
os.setgid(user.pw_gid); os.setuid(user.pw_uid)
os.environ["HOME"] = "/tmp"; os.chdir("/tmp"); os.mkdir("/tmp/pg")
def run(*argv):
    r = subprocess.run([bin + argv[0], *argv[1:]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return r.returncode, r.stdout.decode()
print("initdb", run("initdb", "-D", "/tmp/pg/data", "--no-sync")[0])
server = subprocess.Popen([bin + "postgres", "-D", "/tmp/pg/data", "-k", "/tmp/pg"],
                          stderr=subprocess.DEVNULL)
for i in range(100):
    if run("pg_isready", "-h", "/tmp/pg")[0] == 0:
        break
    time.sleep(0.1)
print("select", run("psql", "-h", "/tmp/pg", "-d", "postgres", "-Atc", "select 6*7"))
print("load", run("pgbench", "-h", "/tmp/pg", "-i", "-q", "postgres")[0])
print("bench", run("pgbench", "-h", "/tmp/pg", "-c", "4", "-t", "100", "postgres")[0])
print("rows", run("psql", "-h", "/tmp/pg", "-d", "postgres", "-Atc",
                  "select count(*) from pgbench_history"))
server.terminate()
print("server", server.wait())
'''

NODE = '''
const http = require("http"), { Worker } = require("worker_threads");
const { execFileSync } = require("child_process");
const s = http.createServer((q, r) => r.end("served " + q.url));
s.listen(0, "127.0.0.1", () => http.get({ port: s.address().port, path: "/x" }, r => {
  r.on("data", d => console.log("" + d));
  r.on("end", () => {
    s.close();
    const w = new Worker("require('worker_threads').parentPort.postMessage(6*7)", { eval: true });
    w.on("message", m => { console.log(m); console.log("" + execFileSync("echo", ["child"])); });
  });
}));
'''

JAVA = '''
public class H {
	public static void main(String[] a) throws Exception {
		try {
			Object o = a.length > 9 ? "" : null;
			o.hashCode();
		} catch (NullPointerException e) {
			System.out.println("caught");
		}
		long[] sums = new long[4];
		Thread[] t = new Thread[4];
		for (int i = 0; i < 4; i++) {
			int n = i;
			t[i] = new Thread(() -> { for (int k = 0; k < 10000000; k++) sums[n] += k; });
			t[i].start();
		}
		for (Thread x : t) x.join();
		System.out.println(sums[0] + sums[3]);
	}
}
'''


@test
def nginx_two_workers():
    need('nginx', 'curl')
    ok(leat(['/bin/bash', '-c', NGINX], timeout=60), 'hello-nginx\n' * 8 + '404\nstopped\n')


@test
def postgresql():
    need('psql')
    bins = glob.glob('/usr/lib/postgresql/*/bin')
    if not bins:
        raise Skip('no PostgreSQL server')
    r = leat(['/usr/bin/python3', '-c', POSTGRES, bins[0] + '/'], timeout=180)
    ok(r, "initdb 0\nselect (0, '42\\n')\nload 0\nbench 0\nrows (0, '400\\n')\nserver 0\n")


@test
def node_server_worker_child():
    need('node')
    ok(leat(['/usr/bin/node', '-e', NODE], timeout=60), 'served /x\n42\nchild\n\n')


@test
def java():
    need('java', 'javac')
    folder = work_dir('java')
    write_file(folder + '/H.java', JAVA)
    r = leat(['/bin/sh', '-c', 'cd /tmp && javac -d . %s/H.java && java -cp . H' % folder],
             timeout=120)
    ok(r, 'caught\n%d\n' % (2 * sum(range(10000000))))


@test
def make_and_gcc():
    need('gcc', 'make', 'ar')
    r = leat(['/bin/bash', '-c', '''
mkdir /tmp/mk; cd /tmp/mk
for i in $(seq 1 20); do echo "int f$i(int x) { return x + $i; }" > f$i.c; done
echo 'int f7(int); int f20(int); int main(void) { return f7(f20(1)); }' > main.c
printf 'main: $(patsubst %%.c,%%.o,$(wildcard *.c))\\n\\tgcc -o $@ $^\\n' > Makefile
make -j4 -s && ./main; echo $?'''], timeout=120)
    ok(r, '28\n')


@test
def git_locally():
    need('git')
    r = leat(['/bin/bash', '-c', '''
mkdir /tmp/g && cd /tmp/g && git init -q . && echo a > a && git add a &&
git -c user.name=n -c user.email=e commit -qm first && git clone -q . ../copy &&
git -C ../copy log --format=%s && cat ../copy/a'''], timeout=60)
    ok(r, 'first\na\n')
    true(not os.path.exists('/tmp/copy'), 'nothing of it on the host')


main()
