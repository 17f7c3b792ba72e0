"""A function in Python: counts words in SQLite, answers with JSON."""
import json
import os
import sqlite3
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_POST(self):
        text = self.rfile.read(int(self.headers.get('content-length') or 0)).decode()
        with sqlite3.connect(':memory:') as db:
            db.execute('create table words(word text)')
            db.executemany('insert into words values(?)', [(w,) for w in text.split()])
            rows = db.execute('select word, count(*) from words group by word').fetchall()
        body = json.dumps(dict(rows)).encode() + b'\n'
        self.send_response(200)
        self.send_header('content-type', 'application/json')
        self.send_header('content-length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST


ThreadingHTTPServer(('0.0.0.0', int(os.environ['PORT'])), Handler).serve_forever()
