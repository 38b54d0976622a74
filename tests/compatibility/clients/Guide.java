// The guide's three Java calls, with the JDK's own HTTP client in place of OkHttp: the same bodies on the wire.
// java Guide.java URL generate|edit|vary; prints its version, the status and the body, a line each.
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

public final class Guide {
    private static final String BOUNDARY = "3d5f9a1c-guide";

    public static void main(String[] arguments) throws Exception {
        String url = arguments[0] + "/v1/images/";
        HttpRequest.Builder request = HttpRequest.newBuilder().header("Authorization", "Bearer sk-java");
        switch (arguments[1]) {
            case "generate" -> request.uri(URI.create(url + "generations"))
                .header("Content-Type", "application/json; charset=utf-8")
                .POST(BodyPublishers.ofString("{"
                    + "\"prompt\": \"a white siamese cat\","
                    + "\"model\": \"dall-e-3\","
                    + "\"n\": 1,"
                    + "\"size\": \"1024x1024\""
                    + "}"));
            case "edit" -> sendForm(request.uri(URI.create(url + "edits")), form(
                "image", "sunlit_lounge.png", "mask", "mask.png",
                "prompt", "A sunlit indoor lounge area with a pool containing a flamingo",
                "model", "dall-e-2", "n", "1", "size", "1024x1024"));
            case "vary" -> sendForm(request.uri(URI.create(url + "variations")), form(
                "image", "corgi_and_cat_paw.png", "model", "dall-e-2", "n", "1", "size", "1024x1024"));
            default -> throw new IllegalArgumentException(arguments[1]);
        }
        // Left as it is, this client offers HTTP/2 with each request.
        var response = HttpClient.newHttpClient().send(request.build(), BodyHandlers.ofString());
        System.out.println(System.getProperty("java.version"));
        System.out.println(response.statusCode());
        System.out.println(response.body());
    }

    private static void sendForm(HttpRequest.Builder request, byte[] body) {
        request.header("Content-Type", "multipart/form-data; boundary=" + BOUNDARY)
            .POST(BodyPublishers.ofByteArray(body));
    }

    /** Names and values in turn; a value that ends in .png is a file to send. */
    private static byte[] form(String... parts) throws IOException {
        var body = new ByteArrayOutputStream();
        for (int i = 0; i < parts.length; i += 2) {
            boolean isFile = parts[i + 1].endsWith(".png");
            byte[] content = isFile ? Files.readAllBytes(Path.of(parts[i + 1])) : bytes(parts[i + 1]);
            body.write(bytes("--" + BOUNDARY + "\r\nContent-Disposition: form-data; name=\"" + parts[i] + "\""
                + (isFile ? "; filename=\"" + parts[i + 1] + "\"\r\nContent-Type: image/png" : "")
                + "\r\nContent-Length: " + content.length + "\r\n\r\n"));
            body.write(content);
            body.write(bytes("\r\n"));
        }
        body.write(bytes("--" + BOUNDARY + "--\r\n"));
        return body.toByteArray();
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
