// Questions to the API, and changes by it. An error has its reason, in words for people.

const AWAY = "The server does not answer: is it running? Nothing has changed.";

function url(path, query) {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== "" && one !== null && one !== undefined) given.append(name, one);
    }
  }
  return given.size ? `${path}?${given}` : path;
}

function reasonOf(status, text) {
  if (status === 401) location.assign("/login");
  try {
    return JSON.parse(text).error || text;
  } catch {
    return text.slice(0, 200) || `The server answers with status ${status}.`;
  }
}

async function fetched(path, options) {
  let answer;
  let text;
  try {
    answer = await fetch(path, options);
    text = await answer.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error(AWAY);
  }
  if (!answer.ok) throw Object.assign(new Error(reasonOf(answer.status, text)), { status: answer.status });
  return JSON.parse(text);
}

// Gets JSON.
export const ask = (path, query = {}) => fetched(url(path, query));

// Changes something: `body` is sent as JSON; `signal` ends it.
export function change(method, path, query, body, signal) {
  const options = { method, signal };
  if (body !== undefined) Object.assign(options, { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  return fetched(url(path, query), options);
}

// Sends a file. Returns `{done, abort}`: a promise of the answer, and a function that ends it.
// By XMLHttpRequest: fetch does not say how much has been sent.
export function sendFile(path, query, file, onprogress) {
  const request = new XMLHttpRequest();
  const done = new Promise((resolve, reject) => {
    request.open("POST", url(path, query));
    request.upload.onprogress = ({ loaded, total }) => onprogress(total ? loaded / total : 1);
    request.onload = () => {
      if (request.status === 200) resolve(JSON.parse(request.responseText));
      else reject(Object.assign(new Error(reasonOf(request.status, request.responseText)), { status: request.status }));
    };
    request.onerror = () => reject(new Error("The server went away, or does not take this file."));
    request.onabort = () => reject(Object.assign(new Error("Cancelled."), { name: "AbortError" }));
    request.send(file);
  });
  return { done, abort: () => request.abort() };
}

let asked = null;

// What this server can do; asked once.
export function about() {
  asked ??= ask("/api/about").catch((error) => {
    asked = null;
    throw error;
  });
  return asked;
}
