"""http.py PORT - the HTTP function in Python: answers every request with one line."""
import http.server
import sys


class Function(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header('Content-Type', 'text/plain')
        self.send_header('Content-Length', '6')
        self.end_headers()
        self.wfile.write(b'hello\n')

    def log_message(self, *args):
        pass


http.server.HTTPServer(('', int(sys.argv[1])), Function).serve_forever()
