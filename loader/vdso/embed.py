#!/usr/bin/python3
"""Writes a file's bytes as a C array. usage: embed.py FILE HEADER NAME"""
import sys

data = open(sys.argv[1], 'rb').read()
with open(sys.argv[2], 'w', encoding='ascii') as out:
    out.write('/* Made by embed.py from the linked vDSO. */\n#pragma once\n\n')
    out.write('static const unsigned char %s[%d] = {' % (sys.argv[3], len(data)))
    for i, byte in enumerate(data):
        out.write(('\n\t' if i % 16 == 0 else ' ') + '0x%02x,' % byte)
    out.write('\n};\n')
