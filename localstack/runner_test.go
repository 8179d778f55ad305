//go:build integration

package localstack_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/google/go-cmp/cmp"
)

// TestOtherTemplate runs an application that is not paylane: a module of its own, functions
// built by go and by make, an API that no HttpApi resource declares, a required
// parameter, a schedule, a filter, message attributes, a redrive policy.
func TestOtherTemplate(t *testing.T) {
	s := newStack(t)
	r := s.start(t, "testdata/mailroom", "--parameter", "Greeting=good day")

	_, hello := request(t, http.MethodGet, r.url+"/hello", "")
	want := map[string]string{"says": "hello good day, us-east-1", "strict": "", "home": ""}
	if diff := cmp.Diff(want, parsed[map[string]string](t, hello)); diff != "" {
		t.Errorf("GET /hello (-want +got):\n%s", diff)
	}

	status, id := request(t, http.MethodPost, r.url+"/letters", `{"to": "ann"}`)
	if status != http.StatusAccepted {
		t.Fatalf("POST /letters: %d %s", status, id)
	}
	eventually(t, time.Minute, func() string {
		status, body := request(t, http.MethodGet, r.url+"/letters/"+id, "")
		if status != http.StatusOK {
			return fmt.Sprintf("GET /letters/%s: %d %s", id, status, body)
		}
		want := map[string]string{
			"body": `{"to": "ann"}`, "receives": "1", "stamp": "AP8=", "from": s.queueARN("local-Post"),
		}
		if diff := cmp.Diff(want, parsed[map[string]string](t, body)); diff != "" {
			t.Fatalf("the letter (-want +got):\n%s", diff)
		}
		return ""
	})

	eventually(t, time.Minute, func() string {
		if status, body := request(t, http.MethodGet, r.url+"/letters/hourly", ""); status != http.StatusOK {
			return fmt.Sprintf("what the schedule sends: %d %s", status, body)
		}
		return ""
	})

	// What can't be delivered is in the dead-letter queue after two receives; what the
	// filter rejects is gone.
	_, refused := request(t, http.MethodPost, r.url+"/letters", `{"to": "nobody"}`)
	request(t, http.MethodPost, r.url+"/letters", `{"re": "filtered"}`)
	eventually(t, time.Minute, func() string {
		if counts := s.counts(t, "local-Post"); counts != [2]int{0, 0} {
			return fmt.Sprintf("the queue has %v messages, visible and in flight", counts)
		}
		return ""
	})
	dead, err := s.sqs.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: aws.String(s.queueURL("local-Undeliverable")), MaxNumberOfMessages: 10, WaitTimeSeconds: 5,
	})
	if err != nil || len(dead.Messages) != 1 || *dead.Messages[0].MessageId != refused {
		t.Errorf("the dead-letter queue has %v, %v; want the message %s", dead.Messages, err, refused)
	}
}

// TestOtherServices: an application finds its topic, bucket, secret, parameter and key at the
// endpoint, and what was put there for it. The page says what is not there.
func TestOtherServices(t *testing.T) {
	s := newStack(t)
	if _, err := ssm.NewFromConfig(s.config).PutParameter(t.Context(), &ssm.PutParameterInput{
		Name: aws.String("/shop/banner"), Type: types.ParameterTypeString, Value: aws.String("welcome"),
	}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time everything is there
		r := s.start(t, "testdata/shop", "--import", "peer-url=https://peer.test")
		status, found := request(t, http.MethodGet, r.url+"/", "")
		if status != http.StatusOK {
			t.Fatalf("%d %s", status, found)
		}
		want := map[string]string{
			"banner": "welcome", "peer": "https://peer.test", "file": "kept", "user": "ann", "password": "as in the secret",
			"sizes": "s,m,l", "opened": "sealed",
		}
		if diff := cmp.Diff(want, parsed[map[string]string](t, found)); diff != "" {
			t.Errorf("what the function found (-want +got):\n%s", diff)
		}
		page := r.out.String()
		for _, line := range []string{
			`News +AWS::SNS::Topic +at the endpoint: local-News`,
			`Files +AWS::S3::Bucket +at the endpoint: files-` + s.account,
			`Customers +AWS::Cognito::UserPool +not there: calls to it will fail \(resources of its type are not made\)`,
			`Url +` + r.url,
			`nobody is notified locally — News\.Subscription`,
		} {
			if !regexp.MustCompile(`(?m)^  ` + line + `$`).MatchString(page) {
				t.Errorf("%q is not in:\n%s", line, page)
			}
		}
		r.stop()
	}
}

func parsed[T any](t *testing.T, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// TestReload edits a function while it runs. Within three seconds the next request runs
// the new code; code that does not compile changes nothing, and the runner reports it.
func TestReload(t *testing.T) {
	s := newStack(t)
	folder := filepath.Join(t.TempDir(), "mailroom")
	copyFolder(t, "testdata/mailroom", folder)
	r := s.start(t, folder, "--parameter", "Greeting=you")
	main := filepath.Join(folder, "front", "main.go")
	says := func() string {
		_, hello := request(t, http.MethodGet, r.url+"/hello", "")
		return parsed[map[string]string](t, hello)["says"]
	}
	change := func(from, to string) {
		t.Helper()
		began := time.Now()
		edit(t, main, [2]string{`greeting = "` + from + `"`, `greeting = "` + to + `"`})
		eventually(t, 3*time.Second, func() string {
			if got := says(); !strings.HasPrefix(got, to) {
				return "the function says " + got
			}
			return ""
		})
		t.Logf("new code after %v", time.Since(began).Round(10*time.Millisecond))
	}
	if got := says(); !strings.HasPrefix(got, "hello") {
		t.Fatal(got)
	}
	change("hello", "welcome")

	edit(t, main, [2]string{`greeting = "welcome"`, `greeting = "broken" +`})
	eventually(t, time.Minute, func() string {
		if text := r.out.String(); !strings.Contains(text, "main.go:") || !strings.Contains(text, "Front goes on as it was") {
			return "the runner does not report what is wrong"
		}
		return ""
	})
	if got := says(); !strings.HasPrefix(got, "welcome") {
		t.Errorf("after a failed build the function says %s", got)
	}
	edit(t, main, [2]string{`greeting = "broken" +`, `greeting = "broken"`})
	change("broken", "farewell")
}

// TestReady: once its binaries are built, the runner serves within three seconds, though it
// has to create the queues and tables first.
func TestReady(t *testing.T) {
	s := newStack(t)
	r := s.start(t, repository)
	var built, serves time.Time
	for _, l := range r.out.lines() {
		switch {
		case bytes.HasPrefix(l.text, []byte("built ")):
			built = l.at
		case bytes.HasPrefix(l.text, []byte("paylane serves ")):
			serves = l.at
		}
	}
	if took := serves.Sub(built); built.IsZero() || serves.IsZero() || took > 3*time.Second {
		t.Errorf("ready %v after the last build", took)
	} else {
		t.Logf("ready %v after the last build", took.Round(time.Millisecond))
	}
}

// TestReleaseIsLogged: what a function logs when it starts names the release that it is of.
func TestReleaseIsLogged(t *testing.T) {
	s := newStack(t)
	release := strings.Repeat("5a", 20)
	r := s.start(t, repository, "--parameter", "Release="+release)
	if status, body := request(t, http.MethodGet, r.url+"/healthz", ""); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	eventually(t, 10*time.Second, func() string {
		if want := `"msg":"cold start","release":"` + release + `"`; !strings.Contains(r.out.String(), want) {
			return "nothing logged " + want
		}
		return ""
	})
}
