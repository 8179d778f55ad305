// Package answer speaks the Runtime API by itself, so that the module needs no other.
package answer

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

const greeting = "hello"

// With answers each invocation with a greeting from somebody.
func With(name string) {
	for base := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/invocation/"; ; {
		next, err := http.Get(base + "next")
		if err != nil {
			panic(err)
		}
		_, _ = io.Copy(io.Discard, next.Body)
		_ = next.Body.Close()
		answer := strings.NewReader(fmt.Sprintf(`{"statusCode": 200, "body": "%s from %s"}`, greeting, name))
		posted, err := http.Post(base+next.Header.Get("Lambda-Runtime-Aws-Request-Id")+"/response", "application/json", answer)
		if err != nil {
			panic(err)
		}
		_ = posted.Body.Close()
	}
}
