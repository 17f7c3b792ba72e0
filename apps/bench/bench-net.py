#!/usr/bin/python3
"""leat bench net: round trips, streams, datagrams and connections between two programs."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from bench_harness import Sample, Server, main  # noqa: E402

PORT = 9100
CONNECTS = 20000
CASES = ['rr_c1', 'rr_c64', 'bulk_1', 'bulk_8', 'udp64', 'connect']


def generate(bench, kind, n):
    """A generator's run on a side: its figures are operations, seconds, median, p99, max."""
    last = bench.seconds
    if kind == 'connect':
        last = CONNECTS // 5 if bench.args.quick else CONNECTS

    def run(side):
        _, out = side.run([bench.program, kind, side.address, str(side.port), str(n), str(last)])
        operations, seconds, _, p99, longest = map(float, out.split())
        if kind == 'bulk':
            return Sample(operations * 8 / seconds / 1e9, operations=operations / 1e6)
        if kind == 'udp':
            return Sample(operations / seconds, operations=operations)
        return Sample(operations / seconds, p99, longest, operations)

    return run


def measure(bench):
    bench.serve(Server([bench.program, 'server', '{port}'], PORT), [
        ('rr_c1', generate(bench, 'rr', 1), 'rt/s'),
        ('rr_c64', generate(bench, 'rr', 64), 'rt/s'),
        ('bulk_1', generate(bench, 'bulk', 1), 'Gbit/s'),
        ('bulk_8', generate(bench, 'bulk', 8), 'Gbit/s'),
        ('udp64', generate(bench, 'udp', 1), 'pkt/s'),
        ('connect', generate(bench, 'connect', 1), 'conn/s'),
    ])


main('net', CASES, __doc__ + '\nThe CPU time of bulk_* is for each MB.', measure)
