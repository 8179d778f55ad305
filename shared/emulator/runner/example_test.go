package runner_test

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"paylane/shared/emulator/runner"
)

// An application with an HTTP API and one Go function needs no endpoint: the function is
// built, and the API serves it as on AWS.
func Example() {
	app, err := runner.Start(context.Background(), runner.Config{
		Template:   "testdata/hello/template.yaml",
		Parameters: map[string]string{"Greeting": "good day"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = app.Close() }()

	response, err := http.Get(app.URL() + "/greet/ann")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	fmt.Println(response.StatusCode, string(body), err)
	// Output: 200 good day, ann <nil>
}
