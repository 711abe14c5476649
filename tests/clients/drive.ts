// What every generated client is tried with: an account, and the life of one task.
import { AuthenticationApi, Configuration, ProblemFromJSON, ResponseError, TasksApi } from "./typescript/index.js";

declare const process: { argv: string[] };
const [, , basePath = "", email = ""] = process.argv;
const password = "correct horse battery";

const anybody = new AuthenticationApi(new Configuration({ basePath }));
await anybody.registerAccount({ registration: { email, password } });
const { accessToken } = await anybody.signIn({ credentials: { email, password } });
const api = new TasksApi(new Configuration({ basePath, accessToken }));

const made = await api.createTask({ taskCreate: { title: "Buy milk" } });
const { items } = await api.listTasks();
console.log("listed", ...items.map((task) => task.title));

const ifMatch = `"${made.version}"`;
const change = { taskId: made.id, ifMatch };
const changed = await api.updateTask({ ...change, taskPatch: { complete: true } });
console.log("complete", changed.complete);

try {
  await api.updateTask({ ...change, taskPatch: { title: "Buy oat milk" } });
} catch (error) {
  if (!(error instanceof ResponseError)) throw error;
  const { status, current } = ProblemFromJSON(await error.response.json());
  if (!current || !("dueAt" in current)) throw new Error("the problem holds no task");
  console.log("refused", status, current.title, current.complete);
}

await api.deleteTask({ taskId: made.id, ifMatch: `"${changed.version}"` });
console.log("left", (await api.listTasks()).items.length);
