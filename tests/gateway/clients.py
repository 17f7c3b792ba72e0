#!/usr/bin/python3
"""Clients and runtimes of others, unmodified, from npm: the AWS SDK, Lambda's runtime for Node, the
functions framework, autocannon.

They are installed into the test's own folder through the machine's npm configuration; where npm cannot
do that the tests are skipped, and say why.
"""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import gateway_test as g  # noqa: E402
import leat_test as t  # noqa: E402

INSTALL_S = 900
G = g.Gateway()
NODE = 'node'


def npm(folder, *packages):
    """A folder with packages from npm; None of it is kept, and no lock file notes where from."""
    t.need('node', 'npm')
    path = t.work_dir(folder)
    t.write_file(os.path.join(path, 'package.json'), '{"private": true}')
    env = dict(os.environ, npm_config_nodedir='/usr')  # headers of Node, for what is built
    try:
        r = subprocess.run(['npm', 'install', '--no-audit', '--no-fund', '--no-package-lock',
                            '--loglevel=error', '--prefer-offline', *packages], cwd=path, env=env,
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, timeout=INSTALL_S, check=False)
    except subprocess.TimeoutExpired:
        raise t.Skip('npm has not installed %s in %d s' % (packages[0], INSTALL_S)) from None
    if r.returncode != 0:
        lines = [line for line in r.stdout.decode(errors='replace').split('\n')
                 if line.strip() and 'http' not in line and 'log of this run' not in line]
        raise t.Skip('npm cannot install %s: %s' % (packages[0], ' '.join(lines[-2:])[:200]))
    subprocess.run(['chmod', '-R', 'a+rX', path], check=True)
    return path


def deploy(folder, yaml):
    t.write_file(os.path.join(folder, 'f.yaml'), yaml)
    t.ok(t.cli('deploy', folder))


def lambda_function(name):
    path = t.work_dir(name)
    t.write_file(os.path.join(path, 'bootstrap'), g.BOOTSTRAP, 0o755)
    deploy(path, 'name: %s\ncontract: lambda\ncommand: [./bootstrap]\n' % name)


SDK = r'''
const { LambdaClient, InvokeCommand } = require('@aws-sdk/client-lambda');
const client = new LambdaClient({ endpoint: process.argv[2], region: 'us-east-1',
	credentials: { accessKeyId: 'x', secretAccessKey: 'y' } });
const invoke = (name, payload, kind) => client.send(new InvokeCommand({ FunctionName: name,
	Payload: JSON.stringify(payload), InvocationType: kind }));
const text = (bytes) => new TextDecoder().decode(bytes);
(async () => {
	const out = [];
	let r = await invoke('sdk', { a: 1 });
	out.push([r.StatusCode, r.FunctionError || null, JSON.parse(text(r.Payload)), r.ExecutedVersion]);
	r = await invoke('sdk', { fail: true });
	out.push([r.StatusCode, r.FunctionError, JSON.parse(text(r.Payload)).errorMessage]);
	out.push((await invoke('sdk', { b: 2 }, 'Event')).StatusCode);
	out.push((await invoke('sdk', {}, 'DryRun')).StatusCode);
	try { await invoke('no-such', {}); } catch (e) { out.push(e.name); }
	const many = await Promise.all([...Array(20).keys()].map((i) => invoke('sdk', { i })));
	out.push(many.map((m) => JSON.parse(text(m.Payload)).echo.i));
	console.log(JSON.stringify(out));
})();
'''


@t.test
def aws_sdk_for_javascript():
    path = npm('sdk-client', '@aws-sdk/client-lambda')
    lambda_function('sdk')
    t.write_file(os.path.join(path, 'client.js'), SDK)
    r = t.ok(t.execute([NODE, 'client.js', 'http://127.0.0.1:%d' % G.port], cwd=path, timeout=g.WAIT))
    t.equal(json.loads(r.text), [
        [200, None, {'echo': {'a': 1}}, '$LATEST'], [200, 'Unhandled', 'as asked'], 202, 204,
        'ResourceNotFoundException', list(range(20))], 'what the SDK has seen')


@t.test
def aws_lambda_runtime_interface_client():
    path = npm('ric', 'aws-lambda-ric')
    t.write_file(os.path.join(path, 'app.js'), '''
exports.handler = async (event, context) => {
	if (event.fail) throw new TypeError('of the handler');
	return { got: event, name: context.functionName, left: context.getRemainingTimeInMillis() > 0 };
};
''')
    deploy(path, 'name: ric\ncontract: lambda\n'
           'command: [node, node_modules/aws-lambda-ric/bin/index.mjs, app.handler]\n'
           'startup: 100s\n')
    r = G.request('POST', '/2015-03-31/functions/ric/invocations', b'{"n": 7}')
    t.equal((r.status, json.loads(r.body)), (200, {'got': {'n': 7}, 'name': 'ric', 'left': True}),
            'an answer')
    r = G.request('POST', '/2015-03-31/functions/ric/invocations', b'{"fail": 1}')
    t.equal(json.loads(r.body)['errorType'], 'TypeError', 'an error')
    t.equal(r.headers.get('x-amz-function-error'), 'Unhandled', 'is marked')


@t.test
def google_functions_framework():
    path = npm('framework', '@google-cloud/functions-framework')
    t.write_file(os.path.join(path, 'index.js'), '''
const ff = require('@google-cloud/functions-framework');
ff.http('hello', (req, res) => res.send('hello ' + (req.body?.name || req.query.name)));
ff.cloudEvent('event', (e) => console.log('event', e.id, e.type, e.data.x));
''')
    command = 'command: [node, node_modules/.bin/functions-framework, --target=%s%s]\nstartup: 100s\n'
    deploy(path, 'name: hello\n' + command % ('hello', ''))
    t.equal(G.request('GET', '/function/hello?name=you').body, b'hello you', 'a query')
    r = G.request('POST', '/function/hello', b'{"name": "all"}', {'content-type': 'application/json'})
    t.equal(r.body, b'hello all', 'a body')
    deploy(path, 'name: event\n' + command % ('event', ', --signature-type=cloudevent'))
    r = G.request('POST', '/function/event', b'{"x": 42}', {
        'content-type': 'application/json', 'ce-id': 'e1', 'ce-source': 'test', 'ce-type': 'my.type',
        'ce-specversion': '1.0'})
    t.equal(r.status, 204, 'a CloudEvent is taken: %r' % r.body)
    t.until(lambda: b'event e1 my.type 42' in t.cli('logs', 'event').out, 'it is in the log')


@t.test
def autocannon_loads_it():
    path = npm('cannon', 'autocannon')
    folder = t.work_dir('load')
    t.write_file(os.path.join(folder, 'app.py'), g.APP)
    deploy(folder, 'name: load\ncommand: [/usr/bin/python3, app.py]\nconcurrency: 20\nqueue: 1000\n')
    r = t.ok(t.execute([NODE, 'node_modules/.bin/autocannon', '--json', '-c', '10', '-a', '300', '-m',
                        'POST', '-b', 'some body', 'http://127.0.0.1:%d/function/load' % G.port],
                       cwd=path, timeout=g.WAIT))
    seen = json.loads(r.text)
    t.equal((seen['2xx'], seen['non2xx'], seen['errors'], seen['timeouts']), (300, 0, 0, 0), 'answers')


g.main(G)
