// The machine's API (docs/openapi.yaml): JSON over HTTP from the server that the page came from.

export class ApiError extends Error {
  constructor(status, title, detail) {
    super(detail || title || `The machine answered ${status}.`);
    this.status = status;
  }
}

export async function request(method, path, body) {
  const options = { method, credentials: 'same-origin', cache: 'no-store', headers: {} };
  if (body !== undefined) {
    options.headers['Content-Type'] = 'application/json';
    options.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(`/api/v1/${path}`, options);
  } catch {
    throw new ApiError(0, 'The machine cannot be reached.');
  }
  if (response.ok) {
    return response.status === 204 ? null : response.json();
  }
  const problem = await response.json().catch(() => ({}));
  throw new ApiError(response.status, problem.title, problem.detail);
}

export const get = (path) => request('GET', path);
export const post = (path, body = {}) => request('POST', path, body);

export function events(onStatus, onLost) {
  const source = new EventSource('/api/v1/events');
  source.addEventListener('status', (event) => onStatus(JSON.parse(event.data)));
  source.addEventListener('error', () => {
    source.close();
    onLost();
  });
  return source;
}

export function rfbUrl() {
  const url = new URL('/api/v1/rfb', location.href);
  url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
  return url.href;
}
