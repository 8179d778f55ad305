package provision_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/awscall/awstest"
	"paylane/shared/emulator/provision"
	"paylane/shared/emulator/template"
)

const secretARN = "arn:aws:secretsmanager:us-east-1:" + account + ":secret:word"

func oneSecret(properties map[string]any) []template.External {
	return []template.External{{LogicalID: "Word", Type: "AWS::SecretsManager::Secret", Name: "word", Ref: secretARN, Properties: properties}}
}

// TestServicesThatAreMissing: whatever an endpoint answers for a service that it does not
// have, each resource is said not to be there, with the answer.
func TestServicesThatAreMissing(t *testing.T) {
	externals := []template.External{
		{LogicalID: "Topic", Type: "AWS::SNS::Topic", Name: "t", Ref: "arn:aws:sns:us-east-1:1:t"},
		{LogicalID: "Bucket", Type: "AWS::S3::Bucket", Name: "bucket", Ref: "bucket"},
		{LogicalID: "Secret", Type: "AWS::SecretsManager::Secret", Name: "s", Ref: "s"},
		{LogicalID: "Parameter", Type: "AWS::SSM::Parameter", Name: "p", Ref: "p"},
		{LogicalID: "Key", Type: "AWS::KMS::Key", Name: "k", Ref: "k"},
		{LogicalID: "Alias", Type: "AWS::KMS::Alias", Name: "alias/a", Ref: "alias/a"},
		{LogicalID: "Pool", Type: "AWS::Cognito::UserPool", Name: "pool", Ref: "pool"},
	}
	for _, tt := range []struct {
		name   string
		status int
		body   string
		reason string // of the services that speak JSON
	}{
		{"LocalStack", 501, `{"__type": "InternalFailure", "message": "API for service 'x' not yet implemented"}`, "the endpoint answers 501 Not Implemented, InternalFailure: API for service 'x' not yet implemented"},
		{"DynamoDB Local", 400, `{"__type": "com.amazonaws.dynamodb.v20120810#UnknownOperationException"}`, "the endpoint answers 400 Bad Request, UnknownOperationException"},
		{"a web server", 404, "<html>nothing here</html>", "the endpoint answers 404 Not Found"},
		{"another", 405, "", "the endpoint answers 405 Method Not Allowed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body)
			}))
			defer server.Close()
			absent, err := provision.MakeExternals(t.Context(), provision.NewClients(awstest.ConfigAt(server.URL, account)), externals)
			if err != nil {
				t.Fatal(err)
			}
			reasons := make(map[string]string)
			for _, a := range absent {
				reasons[a.LogicalID] = a.Reason
			}
			if reasons["Pool"] != "resources of its type are not made" || len(absent) != len(externals) {
				t.Errorf("not there: %v", absent)
			}
			for _, id := range []string{"Topic", "Bucket"} {
				if want := strings.SplitN(tt.reason, ",", 2)[0]; !strings.HasPrefix(reasons[id], want) {
					t.Errorf("%s: %q does not begin with %q", id, reasons[id], want)
				}
			}
			for _, id := range []string{"Secret", "Parameter", "Key", "Alias"} {
				if !strings.HasPrefix(reasons[id], tt.reason) {
					t.Errorf("%s: %q does not begin with %q", id, reasons[id], tt.reason)
				}
			}
		})
	}
}

// TestExternalsAtNoEndpoint: an endpoint that does not answer at all is an error.
func TestExternalsAtNoEndpoint(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	_, err := provision.MakeExternals(t.Context(), provision.NewClients(awstest.ConfigAt(gone.URL, account)), oneSecret(nil))
	if err == nil || !strings.Contains(err.Error(), "create Word: ") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v", err)
	}
}

// TestNotMade: what was not made as the functions know it is not there for them.
func TestNotMade(t *testing.T) {
	const key = "6f1b2c3d-0000-4000-8000-00000000000a"
	oneKey := []template.External{{LogicalID: "Key", Type: "AWS::KMS::Key", Name: key, Ref: key}}
	generated := func(properties map[string]any) []template.External {
		return oneSecret(map[string]any{"GenerateSecretString": properties})
	}
	for _, tt := range []struct {
		name      string
		externals []template.External
		answers   map[string]awstest.Answer
		calls     string
		reason    string
	}{
		{
			"a key with another id", oneKey, map[string]awstest.Answer{
				"DescribeKey":         awstest.Namespace("kms").Refuses(400, "NotFoundException", nil),
				"CreateKey":           awstest.OK(map[string]any{"KeyMetadata": map[string]any{"KeyId": "another"}}),
				"ScheduleKeyDeletion": awstest.OK(map[string]any{}),
			},
			"DescribeKey CreateKey ScheduleKeyDeletion", "the endpoint lets nobody choose the id of a key, and the template's functions use " + key,
		},
		{
			"a secret in another account", oneSecret(nil), map[string]awstest.Answer{
				"CreateSecret": awstest.OK(map[string]any{"ARN": "arn:aws:secretsmanager:us-east-1:000000000002:secret:word-AbCdEf"}),
			},
			"DescribeSecret CreateSecret",
			"it was created as arn:aws:secretsmanager:us-east-1:000000000002:secret:word-AbCdEf, but the template's functions use " + secretARN + ": do the accounts differ?",
		},
		{"a length in words", generated(map[string]any{"PasswordLength": "long"}), nil, "DescribeSecret", "its PasswordLength is not a number"},
		{"a key without a template", generated(map[string]any{"GenerateStringKey": "word"}), nil, "DescribeSecret", "GenerateStringKey and SecretStringTemplate go together"},
		{
			"a template that is not JSON", generated(map[string]any{"GenerateStringKey": "word", "SecretStringTemplate": "{"}), map[string]awstest.Answer{
				"GetRandomPassword": awstest.OK(map[string]any{"RandomPassword": "x"}),
			}, "DescribeSecret GetRandomPassword", "its SecretStringTemplate is not a JSON object",
		},
		{
			"an answer that repeats the secret", oneSecret(map[string]any{"SecretString": "open sesame"}), map[string]awstest.Answer{
				"CreateSecret": awstest.Namespace("sm").Refuses(400, "ValidationException", map[string]any{"message": "the value 'open sesame' is too short"}),
			}, "DescribeSecret CreateSecret", "the endpoint answers 400 Bad Request, ValidationException",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fake := awstest.NewFake(t, func(_ int, r awstest.Request) awstest.Answer {
				if r.Operation == "DescribeSecret" {
					return awstest.Namespace("sm").Refuses(400, "ResourceNotFoundException", nil)
				}
				return tt.answers[r.Operation]
			})
			absent, err := provision.MakeExternals(t.Context(), provision.NewClients(fake.Config()), tt.externals)
			if err != nil {
				t.Fatal(err)
			}
			var calls []string
			for _, r := range fake.Requests() {
				calls = append(calls, r.Operation)
			}
			if d := cmp.Diff(tt.calls, strings.Join(calls, " ")); d != "" {
				t.Errorf("calls (-want +got):\n%s", d)
			}
			if d := cmp.Diff([]provision.Absent{{LogicalID: tt.externals[0].LogicalID, Reason: tt.reason}}, absent); d != "" {
				t.Errorf("not there (-want +got):\n%s", d)
			}
		})
	}
}
