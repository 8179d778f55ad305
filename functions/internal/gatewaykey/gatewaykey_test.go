package gatewaykey_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/functions/internal/gatewaykey"
	"paylane/shared/awscall/awstest"
)

const (
	secretARN    = "arn:aws:secretsmanager:us-east-1:123456789012:secret:stripe-AbCdEf"
	parameterARN = "arn:aws:ssm:us-east-1:123456789012:parameter/shop/stripe"
)

// getKey is what New returns.
type getKey = func(ctx context.Context, anew bool) (string, error)

func open(t *testing.T, arn string, f *awstest.Fake) getKey {
	t.Helper()
	get, err := gatewaykey.New(map[string]string{"GATEWAY_SECRET_ARN": arn}, f.Config(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return get
}

func mustGet(t *testing.T, get getKey, anew bool, want string) {
	t.Helper()
	if key, err := get(t.Context(), anew); key != want || err != nil {
		t.Errorf("the key is %q, %v, want %q", key, err, want)
	}
}

// holds answers as either service does if this is what it holds.
func holds(value string) awstest.Answer {
	return awstest.OK(map[string]any{"SecretString": value, "Parameter": map[string]any{"Value": value}})
}

// after lets an answer wait.
func after(d time.Duration, answer awstest.Answer) awstest.Answer {
	return func(r *http.Request) (*http.Response, error) {
		select {
		case <-time.After(d):
			return answer(r)
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
}

// TestRead: either service is asked once, for the value itself, and white space around it does
// not belong to the key.
func TestRead(t *testing.T) {
	for arn, want := range map[string]awstest.Request{
		secretARN:    {Operation: "GetSecretValue", Body: map[string]any{"SecretId": secretARN}},
		parameterARN: {Operation: "GetParameter", Body: map[string]any{"Name": parameterARN, "WithDecryption": true}},
	} {
		t.Run(want.Operation, func(t *testing.T) {
			f := awstest.NewFake(t, awstest.InTurn(holds(" sk_test_1\n")))
			get := open(t, arn, f)
			mustGet(t, get, false, "sk_test_1")
			mustGet(t, get, false, "sk_test_1")
			if diff := cmp.Diff([]awstest.Request{want}, f.Requests()); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAnew: a key that was refused is read again, but not for as long as it was just read.
func TestAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := awstest.NewFake(t, awstest.InTurn(holds("sk_test_1"), holds("sk_test_2")))
		get := open(t, secretARN, f)
		mustGet(t, get, true, "sk_test_1")
		time.Sleep(9 * time.Second)
		mustGet(t, get, true, "sk_test_1")
		time.Sleep(time.Second)
		mustGet(t, get, false, "sk_test_1")
		mustGet(t, get, true, "sk_test_2")
		mustGet(t, get, true, "sk_test_2")
		mustGet(t, get, false, "sk_test_2")
		if n := len(f.Requests()); n != 2 {
			t.Errorf("%d reads, want 2", n)
		}
	})
}

// TestManyCallers: all who need the key at once wait for one read, before they have one as well
// as when theirs was refused.
func TestManyCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := awstest.NewFake(t, awstest.InTurn(after(time.Second, holds("sk_test_1")), after(time.Second, holds("sk_test_2"))))
		get := open(t, parameterARN, f)
		all := func(anew bool, want string) {
			var callers sync.WaitGroup
			for range 100 {
				callers.Go(func() { mustGet(t, get, anew, want) })
			}
			callers.Wait()
		}
		all(false, "sk_test_1")
		time.Sleep(time.Minute)
		all(true, "sk_test_2")
		all(true, "sk_test_2")
		if n := len(f.Requests()); n != 2 {
			t.Errorf("%d reads, want 2", n)
		}
	})
}

// TestCallerLeaves: one who waits no longer takes nothing from the others, even if the read was
// begun for him.
func TestCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := awstest.NewFake(t, awstest.InTurn(after(2*time.Second, holds("sk_test_1"))))
		get := open(t, secretARN, f)
		var callers sync.WaitGroup
		callers.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			if key, err := get(ctx, false); key != "" || !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
				t.Errorf("he has %q, %v after %v", key, err, time.Since(began))
			}
		})
		synctest.Wait()
		mustGet(t, get, false, "sk_test_1")
		callers.Wait()
		if n := len(f.Requests()); n != 1 {
			t.Errorf("%d reads, want 1", n)
		}
	})
}

// TestStall: a service that does not answer holds nobody up for long.
func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		get := open(t, secretARN, awstest.NewFake(t, awstest.InTurn(awstest.Stalls, holds("sk_test_1"))))
		began := time.Now()
		if key, err := get(context.Background(), false); err == nil || time.Since(began) > 3*time.Second {
			t.Errorf("%q, %v after %v", key, err, time.Since(began))
		}
		mustGet(t, get, false, "sk_test_1")
	})
}

// TestFailures: what can't be read, or is not a key, is told without the value, and asked for again
// by the next caller.
func TestFailures(t *testing.T) {
	const refused, aloneOnly = "sk_test_refused", "must be the API key alone"
	manager, store := awstest.Namespace("com.amazonaws.secretsmanager"), awstest.Namespace("com.amazonaws.ssm")
	for name, tt := range map[string]struct {
		arn    string
		answer awstest.Answer
		want   string
	}{
		"no permission for a secret":    {secretARN, manager.Refuses(400, "AccessDeniedException", nil), "read the secret: operation error Secrets Manager: GetSecretValue, https response error StatusCode: 400, RequestID: , api error AccessDeniedException"},
		"no permission for a parameter": {parameterARN, store.Refuses(400, "AccessDeniedException", nil), "AccessDeniedException"},
		"no secret":                     {secretARN, manager.Refuses(400, "ResourceNotFoundException", nil), "ResourceNotFoundException"},
		"no parameter":                  {parameterARN, store.Refuses(400, "ParameterNotFound", nil), "read the parameter: operation error SSM: GetParameter"},
		"no decryption":                 {secretARN, manager.Refuses(400, "DecryptionFailure", nil), "DecryptionFailure"},
		"an answer without a parameter": {parameterARN, awstest.OK(map[string]any{}), aloneOnly},
		"a parameter without a value":   {parameterARN, awstest.OK(map[string]any{"Parameter": map[string]any{"Name": "/shop/stripe"}}), aloneOnly},
		"bytes":                         {secretARN, awstest.OK(map[string]any{"SecretBinary": "c2tfdGVzdF9yZWZ1c2Vk"}), aloneOnly},
		"nothing":                       {secretARN, holds(" \n"), aloneOnly},
		"JSON":                          {secretARN, holds(`{"key":"` + refused + `"}`), aloneOnly},
		"JSON of a string":              {secretARN, holds(`"` + refused + `"`), aloneOnly},
		"two keys":                      {parameterARN, holds(refused + "\n" + refused), aloneOnly},
		"a header":                      {parameterARN, holds("Bearer " + refused), aloneOnly},
		"an answer that can't be read":  {secretARN, awstest.OK(map[string]any{"SecretString": []string{refused}}), "deserialization failed"},
	} {
		t.Run(name, func(t *testing.T) {
			f := awstest.NewFake(t, awstest.InTurn(tt.answer, holds("sk_test_1")))
			get := open(t, tt.arn, f)
			key, err := get(t.Context(), false)
			if key != "" || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("%q, %v, want %q", key, err, tt.want)
			}
			if told := fmt.Sprintf("%v %+v", err, err); strings.Contains(told, refused) || strings.Contains(told, "%!") {
				t.Errorf("the error says %s", told)
			}
			mustGet(t, get, false, "sk_test_1")
			if n := len(f.Requests()); n != 2 {
				t.Errorf("%d reads, want 2", n)
			}
		})
	}
}

// TestFailureAnew: while a refused key can't be read again, the failure is told, and whoever asks
// for the key as it was still gets it.
func TestFailureAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := awstest.Namespace("com.amazonaws.secretsmanager").Refuses(400, "ResourceNotFoundException", nil)
		get := open(t, secretARN, awstest.NewFake(t, awstest.InTurn(holds("sk_test_1"), gone, holds("sk_test_2"))))
		mustGet(t, get, false, "sk_test_1")
		time.Sleep(time.Minute)
		if key, err := get(t.Context(), true); key != "" || err == nil {
			t.Errorf("%q, %v", key, err)
		}
		mustGet(t, get, false, "sk_test_1")
		mustGet(t, get, true, "sk_test_2")
	})
}

// TestThrottled: a throttled read is tried again within the same call.
func TestThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throttled := awstest.Namespace("com.amazonaws.ssm").Refuses(400, "ThrottlingException", nil)
		mustGet(t, open(t, parameterARN, awstest.NewFake(t, awstest.InTurn(throttled, holds("sk_test_1")))), false, "sk_test_1")
	})
}

// TestNoKey: without an ARN there is nothing that reads; one that names no secret fails at once.
func TestNoKey(t *testing.T) {
	f := awstest.NewFake(t, awstest.InTurn(holds("sk_test_1")))
	for arn, want := range map[string]string{
		"":                              "",
		"sk_test_refused":               "the ARN of the gateway's API key",
		"arn:aws:s3:::keys":             "in secretsmanager or ssm, and is in s3",
		"arn:aws:lambda:us-east-1:1:sk": "in lambda",
	} {
		get, err := gatewaykey.New(map[string]string{"GATEWAY_SECRET_ARN": arn}, f.Config(), time.Now)
		if get != nil || (err != nil) != (want != "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "sk_")) {
			t.Errorf("%q: something reads: %v; %v, want %q", arn, get != nil, err, want)
		}
	}
}
