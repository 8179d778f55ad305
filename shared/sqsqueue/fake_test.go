package sqsqueue_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"paylane/shared/awscall/awstest"
	"paylane/shared/sqsqueue"
)

// sqsErrors is the namespace of SQS's errors.
const sqsErrors = awstest.Namespace("com.amazonaws.sqs")

const queueURL = "https://sqs.us-east-1.amazonaws.com/123456789012/payments"

// open returns a queue on a fake that answers requests in turn, and further ones with the
// last answer.
func open(t *testing.T, answers ...awstest.Answer) (*sqsqueue.Queue, *awstest.Fake) {
	t.Helper()
	f := awstest.NewFake(t, awstest.InTurn(answers...))
	return sqsqueue.New(sqs.NewFromConfig(f.Config()), queueURL, longest), f
}

// longest is jitter that always makes the longest pause.
func longest(n int) int { return n - 1 }

// refuses answers with an error of SQS.
func refuses(status int, code string) awstest.Answer { return sqsErrors.Refuses(status, code, nil) }

// must returns a function that returns v, and fails the test on an error.
func must[T any](t *testing.T) func(v T, err error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
