import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.io.ByteArrayInputStream;
import java.time.Duration;

/**
 * Orders with a client as anybody makes it: HTTP/2 preferred, so that a plain connection offers h2c.
 *
 * Prints "status version body" for each of: an order, the same on the same connection, one whose body is
 * chunked, and one that is refused. Arguments: URL, JSON of the order, JSON that is refused.
 */
public final class OrderTwice {
    private OrderTwice() {}

    public static void main(String[] arguments) throws Exception {
        URI uri = URI.create(arguments[0]);
        HttpClient client = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(5)).build();
        byte[] order = arguments[1].getBytes(StandardCharsets.UTF_8);
        byte[] refused = arguments[2].getBytes(StandardCharsets.UTF_8);

        print(client, uri, BodyPublishers.ofByteArray(order));
        print(client, uri, BodyPublishers.ofByteArray(order));
        print(client, uri, BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(order)));
        print(client, uri, BodyPublishers.ofByteArray(refused));
    }

    private static void print(HttpClient client, URI uri, BodyPublisher body) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(uri)
                .timeout(Duration.ofSeconds(20))
                .header("Content-Type", "application/json")
                .header("Authorization", "Bearer java")
                .POST(body)
                .build();
        HttpResponse<String> response = client.send(request, BodyHandlers.ofString());
        System.out.println(response.statusCode() + " " + response.version() + " " + response.body());
    }
}
