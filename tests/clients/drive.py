"""What every generated client is tried with: an account, and the life of one task."""

import sys

import tasks_generated as api

host, email = sys.argv[1:]
password = "correct horse battery"

with api.ApiClient(api.Configuration(host=host)) as client:
    anybody = api.AuthenticationApi(client)
    anybody.register_account(api.Registration(email=email, password=password))
    pair = anybody.sign_in(api.Credentials(email=email, password=password))

with api.ApiClient(api.Configuration(host=host, access_token=pair.access_token)) as client:
    tasks = api.TasksApi(client)
    made = tasks.create_task(api.TaskCreate(title="Buy milk"))
    print("listed", *(task.title for task in tasks.list_tasks().items))

    tag = f'"{made.version}"'
    changed = tasks.update_task(made.id, api.TaskPatch(complete=True), if_match=tag)
    print("complete", str(changed.complete).lower())

    try:
        tasks.update_task(made.id, api.TaskPatch(title="Buy oat milk"), if_match=tag)
    except api.ApiException as error:
        current = error.data.current.actual_instance
        print("refused", error.status, current.title, str(current.complete).lower())

    tasks.delete_task(made.id, if_match=f'"{changed.version}"')
    print("left", len(tasks.list_tasks().items))
