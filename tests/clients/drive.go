// What every generated client is tried with: an account, and the life of one task.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"tasks"
)

const password = "correct horse battery"

func main() {
	configuration := tasks.NewConfiguration()
	configuration.Servers = tasks.ServerConfigurations{{URL: os.Args[1]}}
	client := tasks.NewAPIClient(configuration)
	email := os.Args[2]

	anybody := context.Background()
	_, _, err := client.AuthenticationAPI.RegisterAccount(anybody).
		Registration(*tasks.NewRegistration(email, password)).Execute()
	must(err)
	pair, _, err := client.AuthenticationAPI.SignIn(anybody).
		Credentials(*tasks.NewCredentials(email, password)).Execute()
	must(err)
	user := context.WithValue(anybody, tasks.ContextAccessToken, pair.AccessToken)

	api := client.TasksAPI
	made, _, err := api.CreateTask(user).TaskCreate(*tasks.NewTaskCreate("Buy milk")).Execute()
	must(err)
	page, _, err := api.ListTasks(user).Execute()
	must(err)
	fmt.Println("listed", page.Items[0].Title)

	complete := tasks.NewTaskPatch()
	complete.SetComplete(true)
	changed, _, err := api.UpdateTask(user, made.Id).TaskPatch(*complete).IfMatch(tag(made)).Execute()
	must(err)
	fmt.Println("complete", changed.Complete)

	rename := tasks.NewTaskPatch()
	rename.SetTitle("Buy oat milk")
	_, _, err = api.UpdateTask(user, made.Id).TaskPatch(*rename).IfMatch(tag(made)).Execute()
	var refusal *tasks.GenericOpenAPIError
	if !errors.As(err, &refusal) {
		panic(fmt.Sprint("not refused: ", err))
	}
	problem := refusal.Model().(tasks.Problem)
	current := problem.Current.Get().Task
	fmt.Println("refused", problem.Status, current.Title, current.Complete)

	_, err = api.DeleteTask(user, made.Id).IfMatch(tag(changed)).Execute()
	must(err)
	page, _, err = api.ListTasks(user).Execute()
	must(err)
	fmt.Println("left", len(page.Items))
}

func tag(task *tasks.Task) string {
	return fmt.Sprintf(`"%d"`, task.Version)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
