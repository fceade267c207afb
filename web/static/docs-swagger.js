// Starts Swagger UI on its page; a file of its own because the page's policy allows no inline script.
const target = document.getElementById("swagger-ui");
window.SwaggerUIBundle({ url: target.dataset.url, domNode: target, deepLinking: true, validatorUrl: null });
