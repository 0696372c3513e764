// Shows the gateway's own document. A script of its own, since the page allows none inside it.
"use strict";
SwaggerUIBundle({
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
});
