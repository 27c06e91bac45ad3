// Shows /openapi.json of this server. Nothing is asked of another host: no validator, no fonts.
"use strict";
window.SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#api",
  validatorUrl: null,
  deepLinking: true,
  defaultModelsExpandDepth: 0,
});
