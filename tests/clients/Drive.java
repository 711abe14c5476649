// What every generated client is tried with: an account, and the life of one task.
import com.fasterxml.jackson.databind.JsonNode;
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.api.AuthenticationApi;
import org.openapitools.client.api.TasksApi;
import org.openapitools.client.model.Credentials;
import org.openapitools.client.model.Registration;
import org.openapitools.client.model.Task;
import org.openapitools.client.model.TaskCreate;
import org.openapitools.client.model.TaskPage;
import org.openapitools.client.model.TaskPatch;

public class Drive {
  static final String PASSWORD = "correct horse battery";

  public static void main(String[] arguments) throws Exception {
    ApiClient client = new ApiClient();
    client.updateBaseUri(arguments[0]);
    String email = arguments[1];
    AuthenticationApi anybody = new AuthenticationApi(client);
    anybody.registerAccount(new Registration().email(email).password(PASSWORD), null);
    String token =
        anybody.signIn(new Credentials().email(email).password(PASSWORD), null).getAccessToken();
    client.setRequestInterceptor(
        request -> request.header("Authorization", "Bearer " + token));

    TasksApi api = new TasksApi(client);
    Task made = api.createTask(new TaskCreate().title("Buy milk"), null);
    System.out.println("listed " + list(api).getItems().get(0).getTitle());

    Task changed = api.updateTask(made.getId(), new TaskPatch().complete(true), tag(made), null);
    System.out.println("complete " + changed.getComplete());

    try {
      api.updateTask(made.getId(), new TaskPatch().title("Buy oat milk"), tag(made), null);
    } catch (ApiException refusal) {
      JsonNode current =
          client.getObjectMapper().readTree(refusal.getResponseBody()).get("current");
      Task task = client.getObjectMapper().treeToValue(current, Task.class);
      System.out.println(
          "refused " + refusal.getCode() + " " + task.getTitle() + " " + task.getComplete());
    }

    api.deleteTask(made.getId(), tag(changed), null);
    System.out.println("left " + list(api).getItems().size());
  }

  static TaskPage list(TasksApi api) throws ApiException {
    return api.listTasks(
        null, null, null, null, null, null, null, null, null, null, null, null, null);
  }

  static String tag(Task task) {
    return "\"" + task.getVersion() + "\"";
  }
}
