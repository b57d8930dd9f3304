// The node's HTTP API. Everything the page knows comes through ask().

const patience = 15000; // ms; the node itself gives up after 10 s

// ask returns the JSON of a path, or throws an Error whose message can be shown. A 503 that carries an answer (coverage
// short of what was asked for) is an answer.
export async function ask(path, params, signal) {
  const query = params ? "?" + new URLSearchParams(params) : "";
  const signals = [AbortSignal.timeout(patience)];
  if (signal) signals.push(signal);
  let response;
  try {
    response = await fetch(path + query, { signal: AbortSignal.any(signals), headers: { Accept: "application/json" } });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new Error(cause.name === "TimeoutError" ? `this node did not answer within ${patience / 1000} s` : "this node cannot be reached", { cause });
  }
  let body = null;
  try {
    body = await response.json();
  } catch (cause) {
    if (signal?.aborted) throw cause;
  }
  if (!response.ok && !(response.status === 503 && body?.coverage)) {
    throw new Error(body?.error || `${response.status} ${response.statusText}`);
  }
  if (body === null) throw new Error(`the answer to ${path} is not JSON`);
  return body;
}

// prom asks the Prometheus API and returns {data, warnings, infos}.
export async function prom(path, params, signal) {
  const body = await ask("/api/v1/" + path, params, signal);
  return { data: body.data, warnings: body.warnings ?? [], infos: body.infos ?? [] };
}
