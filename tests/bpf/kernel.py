"""Fetches the kernel's verifier tests through apt (linux-source-6.1), dumps those for socket filters,
tc and XDP as data, and runs test-bpf-kernel on them. Nothing of the kernel's is kept in the tree.

    kernel.py TEST_EXE KERNEL_SAFE FOLDER
"""
import glob
import os
import subprocess
import sys

EXE, SAFE, FOLDER = (os.path.abspath(p) for p in sys.argv[1:4])
PACKAGE = 'linux-source-6.1'
TESTS = PACKAGE + '/tools/testing/selftests/bpf'

# The kernel's test program with its main replaced by one that prints the table.
DUMP = r'''
int cap_enable_effective(unsigned long long a, unsigned long long *b) { return 0; }
int cap_disable_effective(unsigned long long a, unsigned long long *b) { return 0; }
#define FIX(name) \
	for (int j = 0; j < MAX_FIXUPS && t->fixup_##name[j]; j++) \
		printf("%s:%d,", #name, t->fixup_##name[j]);
int main(void)
{
	for (int i = 0; i < ARRAY_SIZE(tests); i++) {
		struct bpf_test *t = &tests[i];
		int type = t->prog_type, n;
		const char *section = type <= 1 ? "socket" : type == 3 ? "tc" : type == 6 ? "xdp" : 0;

		if (!section || t->fill_helper || t->btf_types[0] || t->kfunc ||
		    t->fixup_kfunc_btf_id[0].kfunc || t->result == VERBOSE_ACCEPT)
			continue;
		n = probe_filter_length(t->insns);
		printf("%s\t%s\t%s\t", t->descr, section, t->result == ACCEPT ? "accept" : "reject");
		FIX(map_hash_8b) FIX(map_hash_16b) FIX(map_hash_48b) FIX(map_array_48b)
		FIX(map_array_ro) FIX(map_array_wo) FIX(map_array_small)
		/* maps that Leat does not have */
		FIX(map_sockmap) FIX(map_sockhash) FIX(map_xskmap) FIX(map_stacktrace) FIX(prog1)
		FIX(prog2) FIX(map_in_map) FIX(cgroup_storage) FIX(percpu_cgroup_storage)
		FIX(map_spin_lock) FIX(sk_storage_map) FIX(map_event_output)
		FIX(map_reuseport_array) FIX(map_ringbuf) FIX(map_timer) FIX(map_kptr)
		printf("-\t");
		for (int j = 0; j < n * 8; j++)
			printf("%02x", ((unsigned char *)t->insns)[j]);
		printf("\n");
	}
}
'''


def run(*args, **kwargs):
    return subprocess.run(args, check=True, **kwargs)


def fetch():
    """The sources that are needed, below FOLDER."""
    run('apt-get', 'download', PACKAGE, cwd=FOLDER, stdout=subprocess.DEVNULL)
    package = glob.glob(os.path.join(FOLDER, PACKAGE + '_*.deb'))[0]
    run('sh', '-c', 'dpkg-deb --fsys-tarfile "$1" | tar xO ./usr/src/$2.tar.xz | tar xJ --wildcards '
        '"$2/tools/testing/selftests/bpf/*.[ch]" "$2/tools/testing/selftests/bpf/verifier/*" '
        '"$2/tools/include/linux/filter.h" "$2/tools/include/uapi/linux/b[pt]*.h"',
        'sh', package, PACKAGE, cwd=FOLDER)
    os.unlink(package)


def dump(tsv):
    tests = os.path.join(FOLDER, TESTS)
    uapi = os.path.join(FOLDER, PACKAGE, 'tools/include/uapi/linux')
    headers = os.path.join(tests, 'headers/linux')
    os.makedirs(headers, exist_ok=True)
    for header in glob.glob(uapi + '/*.h'):
        os.replace(header, os.path.join(headers, os.path.basename(header)))
    with open(tests + '/verifier/tests.h', 'w') as file:
        for path in sorted(glob.glob(tests + '/verifier/*.c')):
            file.write('#include "%s"\n' % os.path.basename(path))
    with open(tests + '/test_verifier.c') as file:
        source = file.read()
    with open(tests + '/dump.c', 'w') as file:
        file.write('#define main kernel_main\n' + source + '\n#undef main\n' + DUMP)
    run('gcc', '-w', '-O0', '-Iheaders', '-I.', '-D_GNU_SOURCE', '-Du32=__u32', '-Du64=__u64',
        'dump.c', '-o', 'dump', '-lbpf', '-lelf', '-lz', cwd=tests)
    with open(tsv + '.new', 'w') as file:
        run('./dump', cwd=tests, stdout=file)
    os.replace(tsv + '.new', tsv)


def main():
    tsv = os.path.join(FOLDER, 'kernel-tests.tsv')
    os.makedirs(FOLDER, exist_ok=True)
    if not os.path.exists(tsv):
        try:
            fetch()
        except (subprocess.CalledProcessError, IndexError) as error:
            print('1..0 # SKIP apt cannot fetch %s: %s' % (PACKAGE, error))
            return 0
        dump(tsv)
        run('rm', '-rf', os.path.join(FOLDER, PACKAGE))
    return subprocess.run([EXE, tsv, SAFE]).returncode


sys.exit(main())
