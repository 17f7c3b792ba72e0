"""leat bpf: verify, disasm, run, bench and conformance, as a user calls them. Prints TAP."""
import json
import os
import subprocess
import sys

LEAT, FILTERS, CORPUS, LINUX = sys.argv[1:5]
count = failed = 0


def leat(*args, stdin=''):
    done = subprocess.run([LEAT, 'bpf', *args], input=stdin, capture_output=True, text=True,
                          timeout=60)
    return done.returncode, done.stdout, done.stderr


def check(name, ok, *what):
    global count, failed
    count += 1
    failed += not ok
    print(('ok' if ok else 'not ok'), count, name)
    if not ok:
        for text in what:
            print('#', str(text).replace('\n', '\n# '))


def main():
    antispoof = os.path.join(FILTERS, 'antispoof.bpf.o')
    code, out, err = leat('verify', antispoof)
    check('verify says safe', code == 0 and 'egress (leat/egress): safe' in out, code, out, err)
    code, out, err = leat('verify', '--json', antispoof)
    answer = json.loads(out)
    check('verify --json', code == 0 and answer['accepted'] and len(answer['programs']) == 2, out)
    check('it is quick', answer['verify_us'] < 200000, answer)
    code, out, err = leat('verify', LEAT)
    check('no eBPF object', code == 1 and 'not a little-endian eBPF object' in err, code, err)
    code, out, err = leat('verify', '/nonexistent')
    check('no file', code == 1 and 'No such file' in err, code, err)
    code, out, err = leat('disasm', os.path.join(FILTERS, 'passall.bpf.o'), 'egress')
    check('disasm', code == 0 and 'call map_lookup_elem' in out, code, out, err)
    for engine in 'interpreter', 'compiler':
        code, out, err = leat('run', '--engine', engine, antispoof, 'leat/egress')
        check(f'run with the {engine}', code == 0 and 'r0 = 0x1' in out, code, out, err)
    code, out, err = leat('run', '--packet', '00', antispoof, 'leat/egress')
    check('run on a short packet', code == 0 and 'r0 = 0\n' in out, code, out, err)
    code, out, err = leat('run', '--packet', 'xx', antispoof, 'leat/egress')
    check('run on no packet', code == 1 and 'hex' in err, code, err)
    second_opinion()
    code, out, err = leat('nonsense')
    check('usage', code == 2 and 'usage' in err, code, err)
    conformance()


def second_opinion():
    typical, unsafe = (os.path.join(LINUX, name + '.bpf.o') for name in ('typical', 'unsafe'))
    code, out, err = leat('verify', typical)
    check('what is typical of Linux is safe', code == 0 and out.count(': safe') == 13, out, err)
    code, out, err = leat('verify', '--json', unsafe)
    programs = {p['name']: p for p in json.loads(out)['programs']}
    refusal = programs['beyond_the_end'].get('refusal', {})
    check('a refusal in full', code == 1 and programs['harmless']['accepted'] and
          refusal['instruction'] == 1 and refusal['line'] and 'data' in refusal['source'] and
          refusal['registers'] and refusal['cure'], out, err)
    code, out, err = leat('verify', '--json', '--kernel', typical)
    kernel = json.loads(out)['kernel']
    if any('lets nobody here' in p['verdict'] for p in kernel):
        check("the kernel's opinion # SKIP it lets nobody here load programs", True)
        return
    check('the kernel agrees', code == 0 and len(kernel) == 13 and
          all(p['verdict'] == 'accepted' and p['agrees'] for p in kernel), out, err)
    code, out, err = leat('verify', '--kernel', unsafe)
    told = [line for line in out.split('\n') if line.startswith('kernel: ')]
    check('the kernel lets root tell addresses', code == 1 and
          [line.split(':')[1] for line in told if 'DISAGREES' in line] == [' tells_an_address'] and
          'beyond_the_end: refused' in told[0] and told[2] == 'kernel: harmless: accepted', out, err)
    code, out, err = leat('verify', '--kernel', os.path.join(FILTERS, 'antispoof.bpf.o'))
    check('Linux has no filters of this kind', code == 0 and out.count('not asked') == 2, out, err)


def conformance():
    if not os.path.exists(CORPUS):
        check('conformance # SKIP ' + CORPUS + ' is not there', True)
        return
    wrong = []
    with open(CORPUS) as file:
        rows = [line.split('\t') for line in file if line[0] != '#']
    for name, program, memory, expected in rows[::8]:
        args = [] if memory == '-' else [memory]
        code, out, err = leat('conformance', *args, stdin=program)
        if (code != 0 or int(out, 16) != int(expected, 16)) and name != 'callx':
            wrong.append((name, out, err, expected))
    check('conformance, every eighth vector', not wrong, wrong)


main()
print(f'1..{count}')
sys.exit(failed != 0)
