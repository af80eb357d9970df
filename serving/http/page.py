"""The page of `GET /docs`: ask a model by a form, see answer, explanation and version, copy the request as curl.

It is made from openapi.json in the browser and fetches nothing from elsewhere.
"""

PAGE = b"""<!doctype html><html lang=en><meta charset=utf-8><title>Model endpoint</title>
<meta name=viewport content="width=device-width">
<style>
body{font:15px/1.5 system-ui,sans-serif;max-width:64em;margin:2em auto;padding:0 1em;color:#222}
code,pre{background:#f4f4f4;border-radius:4px;padding:.1em .3em}
pre{padding:1em;overflow:auto;max-height:30em}
summary{cursor:pointer;padding:.3em 0}
summary b{display:inline-block;width:4em}
form{display:grid;grid-template-columns:repeat(auto-fill,minmax(15em,1fr));gap:.4em 1em}
label{display:flex;flex-direction:column;font-size:.85em;color:#555}
input,select{font:inherit;padding:.2em .4em;border:1px solid #bbb;border-radius:4px}
button{font:inherit;padding:.3em 1em;margin:.8em .5em .8em 0;cursor:pointer}
.bad{color:#a00}
</style>
<h1>Model endpoint</h1>
<p id=ask hidden><label>Token <input id=token type=password autocomplete=off></label><button id=enter>Enter</button></p>
<section id=try hidden>
 <h2>Ask a model</h2>
 <label>Model <select id=model></select></label>
 <p>The fields hold one of the requests that every release of this model has to answer. An empty field is missing.</p>
 <form id=fields></form>
 <button id=predict>Predict</button><button id=explain>Explain</button>
 <p id=stamp></p><pre id=answer hidden></pre>
 <h3>The same with curl</h3><pre id=curl></pre><button id=copy>Copy</button>
</section>
<h2>Every route</h2><p>From <a href=openapi.json>openapi.json</a>.</p><div id=all></div>
<script>
'use strict';
const at = id => document.getElementById(id);
const put = (to, name, text) => {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  to.append(made);
  return made;
};
const headers = () => ({'content-type': 'application/json',
  ...(at('token').value ? {authorization: 'Bearer ' + at('token').value} : {})});
let models = {};

async function load() {
  const found = await fetch('openapi.json', {headers: headers()});
  at('ask').hidden = found.status !== 401;
  if (!found.ok) return;
  const described = await found.json();
  models = {};
  at('all').replaceChildren();
  at('model').replaceChildren();
  for (const [path, methods] of Object.entries(described.paths))
    for (const [method, route] of Object.entries(methods)) {
      listRoute(path, method, route);
      const name = path.match('^/v1/models/(.+)/predict$');
      if (name) models[name[1]] = route.requestBody.content['application/json'];
    }
  for (const name of Object.keys(models)) put(at('model'), 'option', name);
  at('try').hidden = !Object.keys(models).length;
  if (!at('try').hidden) showFields();
}

function listRoute(path, method, route) {
  const box = put(at('all'), 'details'), line = put(box, 'summary');
  put(line, 'b', method.toUpperCase());
  put(line, 'code', path);
  put(line, 'span', ' ' + route.summary);
  const schema = route.requestBody?.content['application/json'].schema;
  if (schema) put(box, 'pre', JSON.stringify(schema, null, 1));
  const answers = Object.entries(route.responses).map(([code, answer]) => code + ' ' + answer.description);
  put(box, 'p', 'Answers: ' + answers.join(' | '));
}

function showFields() {
  const {schema, example} = models[at('model').value];
  const row = example?.rows[0] ?? {};
  at('fields').replaceChildren();
  for (const [name, field] of Object.entries(schema.properties.rows.items.properties)) {
    const label = put(at('fields'), 'label', name), input = put(label, 'input');
    input.name = name;
    input.dataset.type = field.type?.[0] ?? '';
    input.value = row[name] ?? '';
    input.title = field.description ?? (field.examples ?? []).join(', ');
  }
  showCurl();
}

function valueOf(input) {
  const text = input.value.trim();
  if (['number', 'integer'].includes(input.dataset.type)) return Number.isNaN(Number(text)) ? text : Number(text);
  if (input.dataset.type === 'boolean') return text === 'true' ? true : text === 'false' ? false : text;
  return input.value;
}

function body() {
  const filled = [...at('fields').elements].filter(input => input.value.trim() !== '');
  return JSON.stringify({rows: [Object.fromEntries(filled.map(input => [input.name, valueOf(input)]))]});
}

const route = what => '/v1/models/' + encodeURIComponent(at('model').value) + '/' + what;

function showCurl() {
  const named = ["-H 'content-type: application/json'"];
  if (at('token').value) named.push("-H 'authorization: Bearer '$TOKEN");
  at('curl').textContent = 'curl ' + location.origin + route('predict') + ' ' + named.join(' ') +
    " -d '" + body().replaceAll("'", "'\\\\''") + "'";
}

async function send(what) {
  const answered = await fetch(route(what), {method: 'POST', headers: headers(), body: body()});
  const answer = await answered.json();
  at('stamp').className = answered.ok && !answer.degraded ? '' : 'bad';
  at('stamp').textContent = answered.status + (answer.version ? ', version ' + answer.version : '') +
    (answer.arm ? ', arm ' + answer.arm : '') + (answer.degraded ? ', degraded: ' + (answer.why ?? []).join('; ') : '');
  at('answer').hidden = false;
  at('answer').textContent = JSON.stringify(answer, null, 1);
}

at('enter').onclick = load;
at('model').onchange = showFields;
at('fields').oninput = showCurl;
at('fields').onsubmit = event => event.preventDefault();
at('predict').onclick = () => send('predict');
at('explain').onclick = () => send('explain');
at('copy').onclick = () => navigator.clipboard.writeText(at('curl').textContent);
load();
</script></html>"""
