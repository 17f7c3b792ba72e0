// A function in Node: the body's SHA-256.
const crypto = require('crypto');
const http = require('http');

http.createServer((request, response) => {
	const hash = crypto.createHash('sha256');

	request.on('data', (chunk) => hash.update(chunk));
	request.on('end', () => {
		response.setHeader('content-type', 'application/json');
		response.end(JSON.stringify({sha256: hash.digest('hex')}) + '\n');
	});
}).listen(process.env.PORT, '0.0.0.0');
