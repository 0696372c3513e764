// Shows the gateway's own document. A script of its own, since the page allows none inside it.
"use strict";

// The name that the document gives to its security scheme.
const SCHEME = "token";

// With a token, if the gateway asks for one: it is kept in this page's memory and nowhere else.
function show(token) {
  const viewer = SwaggerUIBundle({
    url: "openapi.json",
    dom_id: "#viewer",
    deepLinking: true,
    displayRequestDuration: true,
    docExpansion: "list",
    defaultModelsExpandDepth: -1,
    filter: true,
    tryItOutEnabled: true,
    // No badge: it would send the document to another server.
    validatorUrl: null,
    requestInterceptor: (request) => {
      // The document itself is asked for before anybody could press Authorize.
      if (token && request.loadSpec) request.headers.Authorization = `Bearer ${token}`;
      return request;
    },
    onComplete: () => {
      if (token) viewer.preauthorizeApiKey(SCHEME, token);
    },
  });
}

async function start() {
  const asked = await fetch("openapi.json", { method: "HEAD" });
  if (asked.status !== 401) return show("");
  const form = document.getElementById("access");
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const token = form.elements.token.value.trim();
    const headers = { Authorization: `Bearer ${token}` };
    const answer = await fetch("openapi.json", { headers });
    if (answer.ok) {
      form.hidden = true;
      show(token);
    } else {
      document.getElementById("refusal").textContent = (await answer.json()).detail;
    }
  });
}

start();
