import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import image.gateway.client.ApiClient;
import image.gateway.client.ApiException;
import image.gateway.client.EventStream;
import image.gateway.client.api.AdministrationApi;
import image.gateway.client.api.ImagesApi;
import image.gateway.client.api.ModelsApi;
import image.gateway.client.api.UsageApi;
import image.gateway.client.model.CreateImageRequest;
import image.gateway.client.model.CreateKeyRequest;
import image.gateway.client.model.CreatedKey;
import image.gateway.client.model.ErrorResponse;
import image.gateway.client.model.Estimate;
import image.gateway.client.model.EstimateRequest;
import image.gateway.client.model.ImageData;
import image.gateway.client.model.ImageEditCompletedEvent;
import image.gateway.client.model.ImageEditPartialImageEvent;
import image.gateway.client.model.ImageEditStreamEvent;
import image.gateway.client.model.ImageGenCompletedEvent;
import image.gateway.client.model.ImageGenPartialImageEvent;
import image.gateway.client.model.ImageGenStreamEvent;
import image.gateway.client.model.ImagesResponse;
import image.gateway.client.model.Model;
import image.gateway.client.model.PolicyEntry;
import image.gateway.client.model.PutPolicyRequest;
import image.gateway.client.model.ResponseFormat;
import image.gateway.client.model.UsageLimit;
import java.io.File;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The generated Java client does each operation and tells what it saw, a line of JSON for each. */
final class Caller {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final long BUDGET_MICROUSD = 25_000_000_000L;

  private interface Operation {
    Map<String, Object> operate() throws ApiException, IOException;
  }

  private final JsonNode task;

  private Caller(JsonNode task) {
    this.task = task;
  }

  public static void main(String[] arguments) throws IOException {
    Caller caller = new Caller(JSON.readTree(arguments[0]));
    Map<String, Operation> operations = new LinkedHashMap<>();
    operations.put("generate", caller::generate);
    operations.put("edit", caller::edit);
    operations.put("vary", caller::vary);
    operations.put("stream", caller::stream);
    operations.put("stream edit", caller::streamEdit);
    operations.put("refused stream", caller::refusedStream);
    operations.put("unreachable stream", caller::unreachableStream);
    operations.put("models", caller::models);
    operations.put("details", caller::details);
    operations.put("estimate", caller::estimate);
    operations.put("usage", caller::usage);
    operations.put("limit", caller::limit);
    operations.put("download", caller::download);
    operations.put("administer", caller::administer);
    operations.put("budget", caller::budget);
    for (Map.Entry<String, Operation> each : operations.entrySet()) {
      Map<String, Object> line = new HashMap<>(Map.of("operation", each.getKey()));
      try {
        line.put("observed", each.getValue().operate());
      } catch (ApiException | IOException | RuntimeException error) {
        line.put("crash", String.valueOf(error));
      }
      System.out.println(JSON.writeValueAsString(line));
    }
  }

  private String text(String name) {
    return task.get(name).asText();
  }

  private ApiClient client(String key) {
    return clientOf(text(key));
  }

  private ApiClient clientOf(String token) {
    String credential = "Bearer " + token;
    ApiClient client = new ApiClient();
    client.updateBaseUri(text("url"));
    return client.setRequestInterceptor(request -> request.header("authorization", credential));
  }

  private ImagesResponse fourImages() throws ApiException {
    CreateImageRequest order = new CreateImageRequest().prompt(text("prompt")).model("dall-e-3").n(4);
    return new ImagesApi(client("key")).createImage(order, null, null, null, null);
  }

  private Map<String, Object> generate() throws ApiException {
    return Map.of("urls", fourImages().getData().stream().map(ImageData::getUrl).toList());
  }

  private Map<String, Object> edit() throws ApiException {
    File image = new File(text("image"));
    ImagesApi.APIEditImageRequest order =
        ImagesApi.APIEditImageRequest.newBuilder()
            .image(List.of(image, image))
            .mask(new File(text("mask")))
            .prompt(text("prompt"))
            .model("gpt-image-2")
            .n(2)
            .build();
    ImagesResponse answer = new ImagesApi(client("key")).editImage(order);
    List<String> heads = new ArrayList<>();
    for (ImageData each : answer.getData()) {
      heads.add(headOf(Base64.getDecoder().decode(each.getB64Json())));
    }
    return Map.of("heads", heads, "tokens", answer.getUsage().getTotalTokens());
  }

  private Map<String, Object> vary() throws ApiException {
    ImagesApi.APICreateImageVariationRequest order =
        ImagesApi.APICreateImageVariationRequest.newBuilder()
            .image(new File(text("image")))
            .n(2)
            .size("256x256")
            .responseFormat(ResponseFormat.URL)
            .build();
    ImagesResponse answer = new ImagesApi(client("key")).createImageVariation(order);
    return Map.of("urls", answer.getData().stream().map(ImageData::getUrl).toList());
  }

  private Map<String, Object> stream() throws ApiException {
    List<String> types = new ArrayList<>();
    List<ImageGenCompletedEvent> ends = new ArrayList<>();
    ApiClient client = client("key");
    client.setResponseInterceptor(
        new EventStream<>(
            client,
            ImageGenStreamEvent.class,
            event -> {
              if (event.getActualInstance() instanceof ImageGenPartialImageEvent partial) {
                types.add(partial.getType().getValue());
              } else if (event.getActualInstance() instanceof ImageGenCompletedEvent completed) {
                types.add(completed.getType().getValue());
                ends.add(completed);
              }
            }));
    CreateImageRequest order =
        new CreateImageRequest().prompt(text("prompt")).model("gpt-image-2").partialImages(1);
    new ImagesApi(client).createImageStream(order, null, null, null, null);
    return Map.of("types", types, "tokens", ends.get(0).getUsage().getTotalTokens());
  }

  private Map<String, Object> streamEdit() throws ApiException {
    List<String> types = new ArrayList<>();
    List<ImageEditCompletedEvent> ends = new ArrayList<>();
    ApiClient client = client("key");
    client.setResponseInterceptor(
        new EventStream<>(
            client,
            ImageEditStreamEvent.class,
            event -> {
              if (event.getActualInstance() instanceof ImageEditPartialImageEvent partial) {
                types.add(partial.getType().getValue());
              } else if (event.getActualInstance() instanceof ImageEditCompletedEvent completed) {
                types.add(completed.getType().getValue());
                ends.add(completed);
              }
            }));
    ImagesApi.APIEditImageStreamRequest order =
        ImagesApi.APIEditImageStreamRequest.newBuilder()
            .image(List.of(new File(text("image"))))
            .prompt(text("prompt"))
            .model("gpt-image-2")
            .partialImages(1)
            .build();
    new ImagesApi(client).editImageStream(order);
    return Map.of("types", types, "tokens", ends.get(0).getUsage().getTotalTokens());
  }

  private Map<String, Object> refusalOf(String key, String size) {
    List<Object> events = new ArrayList<>();
    ApiClient client = clientOf(key);
    client.setResponseInterceptor(new EventStream<>(client, ImageGenStreamEvent.class, events::add));
    CreateImageRequest order =
        new CreateImageRequest().prompt(text("prompt")).model("gpt-image-2").size(size);
    try {
      new ImagesApi(client).createImageStream(order, null, null, null, null);
    } catch (ApiException refused) {
      return Map.of("status", refused.getCode(), "message", refused.getMessage());
    }
    return Map.of("events", events.size());
  }

  private Map<String, Object> refusedStream() {
    return Map.of(
        "wrong key", refusalOf("ig_wrong", "1024x1024"), "wrong size", refusalOf(text("key"), "1x1"));
  }

  private Map<String, Object> unreachableStream() {
    ApiClient client = new ApiClient();
    client.updateBaseUri("http://127.0.0.1:9");
    client.setResponseInterceptor(new EventStream<>(client, ImageGenStreamEvent.class, event -> {}));
    CreateImageRequest order = new CreateImageRequest().prompt(text("prompt"));
    try {
      new ImagesApi(client).createImageStream(order, null, null, null, null);
    } catch (ApiException unreachable) {
      return Map.of("told", String.valueOf(unreachable));
    }
    return Map.of("told", "nothing");
  }

  private Map<String, Object> models() throws ApiException {
    Map<String, String> models = new HashMap<>();
    for (Model model : new ModelsApi(client("key")).listModels().getData()) {
      models.put(model.getId(), String.valueOf(model.getShutdownDate()));
    }
    return Map.of("models", models);
  }

  private Map<String, Object> details() throws ApiException {
    Model model = new ModelsApi(client("key")).getModel("dall-e-3");
    return Map.of(
        "answered_by",
        model.getAnsweredBy(),
        "multiple",
        model.getSizes().getFree().getMultiple(),
        "qualities",
        model.getParameters().get("quality").getValues());
  }

  private Map<String, Object> estimate() throws ApiException {
    EstimateRequest order = new EstimateRequest().model("dall-e-3").prompt(text("prompt")).n(4);
    Estimate made = new ImagesApi(client("limited_key")).estimateImages(order);
    return Map.of(
        "microusd",
        made.getMicrousd(),
        "limits",
        made.getLimits().stream().map(UsageLimit::getName).toList(),
        "refused_by",
        made.getRefusedBy().getParam());
  }

  private Map<String, Object> usage() throws ApiException {
    var usage = new UsageApi(client("key")).getUsage(null, null, null);
    long images = usage.getTotals().stream().mapToLong(total -> total.getImages()).sum();
    return Map.of("team", usage.getTeam(), "images", images);
  }

  private Map<String, Object> limit() throws IOException {
    ApiClient client = client("limited_key");
    try {
      for (int take = 0; take < 2; take++) {
        CreateImageRequest order =
            new CreateImageRequest().prompt(text("prompt") + ", limited " + take).model("dall-e-3");
        new ImagesApi(client).createImage(order, null, null, null, null);
      }
    } catch (ApiException refused) {
      ErrorResponse body = client.getObjectMapper().readValue(refused.getResponseBody(), ErrorResponse.class);
      return Map.of(
          "status",
          refused.getCode(),
          "code",
          body.getError().getCode(),
          "retry_after",
          refused.getResponseHeaders().firstValueAsLong("retry-after").orElseThrow());
    }
    throw new IllegalStateException("nothing was refused");
  }

  private Map<String, Object> download() throws ApiException, IOException {
    URI link = URI.create(fourImages().getData().get(0).getUrl());
    Map<String, String> query = new HashMap<>();
    for (String pair : link.getQuery().split("&")) {
      String[] parts = pair.split("=", 2);
      query.put(parts[0], parts[1]);
    }
    String name = link.getPath().substring(link.getPath().lastIndexOf('/') + 1);
    ApiClient client = new ApiClient();
    client.updateBaseUri(text("url"));
    var answer =
        new ImagesApi(client)
            .getImageFileWithHttpInfo(
                name, query.get("t"), Long.valueOf(query.get("exp")), query.get("sig"), null, null);
    byte[] file = Files.readAllBytes(answer.getData().toPath());
    String kind = answer.getHeaders().get("content-type").get(0);
    return Map.of("head", headOf(file), "kind", kind);
  }

  private Map<String, Object> administer() throws ApiException {
    AdministrationApi api = new AdministrationApi(client("admin_key"));
    CreatedKey created =
        api.adminCreateKey(new CreateKeyRequest().team(text("team")).user("made-by-java"));
    boolean revoked = api.adminRevokeKey(created.getTeam(), created.getId()).getDeleted();
    return Map.of("id", created.getId(), "user", created.getUser(), "revoked", revoked);
  }

  private Map<String, Object> budget() throws ApiException {
    AdministrationApi api = new AdministrationApi(client("admin_key"));
    PutPolicyRequest wanted = new PutPolicyRequest().budgetPerMonthMicrousd(BUDGET_MICROUSD);
    PolicyEntry put = api.adminPutPolicy("made-by-java", wanted);
    PolicyEntry listed =
        api.adminListPolicies().getData().stream()
            .filter(policy -> policy.getName().equals("made-by-java"))
            .findFirst()
            .orElseThrow();
    return Map.of("put", put.getBudgetPerMonthMicrousd(), "listed", listed.getBudgetPerMonthMicrousd());
  }

  private static String headOf(byte[] file) {
    return HexFormat.of().formatHex(Arrays.copyOf(file, 8));
  }
}
