// http.js PORT - the HTTP function in JavaScript: answers every request with one line.
require('http').createServer((request, response) => {
  response.writeHead(200, {
    'Content-Type': 'text/plain', 'Content-Length': 6, 'Connection': 'close',
  });
  response.end('hello\n');
}).listen(Number(process.argv[2]));
