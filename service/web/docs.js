// Starts Swagger UI. Its own validator would send the document to swagger.io.
SwaggerUIBundle({ url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null });
