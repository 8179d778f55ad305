//go:build integration

package provision_test

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"paylane/shared/awscall/awstest"
	"paylane/shared/emulator/provision"
	"paylane/shared/emulator/template"
)

// elsewhere has one resource of each type that is made, and one of a type that is not. The
// names of buckets are those of all accounts, so it ends in the account.
func elsewhere(account string) []template.External {
	arn := func(service, rest string) string { return "arn:aws:" + service + ":us-east-1:" + account + ":" + rest }
	return []template.External{
		{
			LogicalID: "Alias", Type: "AWS::KMS::Alias", Name: "alias/shop", Ref: "alias/shop",
			Properties: map[string]any{"AliasName": "alias/shop", "TargetKeyId": "6f1b2c3d-0000-4000-8000-00000000000a"},
		},
		{
			LogicalID: "Topic", Type: "AWS::SNS::Topic", Name: "news.fifo", Ref: arn("sns", "news.fifo"),
			Properties: map[string]any{"TopicName": "news.fifo", "FifoTopic": true, "ContentBasedDeduplication": "true", "DisplayName": "News"},
		},
		{
			LogicalID: "Bucket", Type: "AWS::S3::Bucket", Name: "shop-" + account, Ref: "shop-" + account,
			Properties: map[string]any{
				"VersioningConfiguration": map[string]any{"Status": "Enabled"},
				"CorsConfiguration": map[string]any{"CorsRules": []any{map[string]any{
					"AllowedMethods": []any{"GET", "PUT"}, "AllowedOrigins": []any{"https://shop.test"}, "ExposedHeaders": []any{"ETag"}, "MaxAge": int64(60),
				}}},
			},
		},
		{
			LogicalID: "Plain", Type: "AWS::SecretsManager::Secret", Name: "shop/plain", Ref: arn("secretsmanager", "secret:shop/plain"),
			Properties: map[string]any{"Name": "shop/plain", "SecretString": "open sesame"},
		},
		{
			LogicalID: "Login", Type: "AWS::SecretsManager::Secret", Name: "shop/login", Ref: arn("secretsmanager", "secret:shop/login"),
			Properties: map[string]any{"GenerateSecretString": map[string]any{
				"SecretStringTemplate": `{"user": "ann", "port": 5432}`, "GenerateStringKey": "password", "PasswordLength": "20",
				"ExcludePunctuation": true, "ExcludeCharacters": "abc", "ExcludeNumbers": "true",
			}},
		},
		{
			LogicalID: "Word", Type: "AWS::SecretsManager::Secret", Name: "shop/word", Ref: arn("secretsmanager", "secret:shop/word"),
			Properties: map[string]any{"GenerateSecretString": map[string]any{}},
		},
		{
			LogicalID: "Parameter", Type: "AWS::SSM::Parameter", Name: "/shop/sizes", Ref: "/shop/sizes",
			Properties: map[string]any{"Type": "StringList", "Value": "s,m,l"},
		},
		{
			LogicalID: "Key", Type: "AWS::KMS::Key",
			Name: "6f1b2c3d-0000-4000-8000-00000000000a", Ref: "6f1b2c3d-0000-4000-8000-00000000000a",
		},
		{LogicalID: "Pool", Type: "AWS::Cognito::UserPool", Name: "us-east-1_ABC", Ref: "us-east-1_ABC"},
	}
}

func (p place) makeExternals(t *testing.T, externals []template.External) []provision.Absent {
	t.Helper()
	absent, err := provision.MakeExternals(t.Context(), p.Clients, externals)
	if err != nil {
		t.Fatal(err)
	}
	return absent
}

// secret returns a secret's value, by the id that a function has.
func (p place) secret(t *testing.T, id string) string {
	t.Helper()
	got, err := p.SecretsManager.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &id})
	if err != nil {
		t.Fatal(err)
	}
	return *got.SecretString
}

// TestExternals: code finds what the template describes, by the names that it is given, and
// a second start changes nothing.
func TestExternals(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	externals := elsewhere(p.options.AccountID)
	ref := make(map[string]string)
	for _, x := range externals {
		ref[x.LogicalID] = x.Ref
	}
	want := []provision.Absent{{LogicalID: "Pool", Reason: "resources of its type are not made"}}
	diff(t, "what is not there", want, p.makeExternals(t, externals))

	topic, err := p.SNS.GetTopicAttributes(t.Context(), &sns.GetTopicAttributesInput{TopicArn: aws.String(ref["Topic"])})
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "the topic", []string{"true", "true", "News"},
		[]string{topic.Attributes["FifoTopic"], topic.Attributes["ContentBasedDeduplication"], topic.Attributes["DisplayName"]})
	versions, err := p.S3.GetBucketVersioning(t.Context(), &s3.GetBucketVersioningInput{Bucket: aws.String(ref["Bucket"])})
	if err != nil {
		t.Fatal(err)
	}
	cors, err := p.S3.GetBucketCors(t.Context(), &s3.GetBucketCorsInput{Bucket: aws.String(ref["Bucket"])})
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "the bucket", []any{"Enabled", []string{"GET", "PUT"}, []string{"ETag"}, int32(60)},
		[]any{string(versions.Status), cors.CORSRules[0].AllowedMethods, cors.CORSRules[0].ExposeHeaders, *cors.CORSRules[0].MaxAgeSeconds})
	diff(t, "the secret that is given", "open sesame", p.secret(t, ref["Plain"]))
	var login struct {
		User, Password string
		Port           int
	}
	if err := json.Unmarshal([]byte(p.secret(t, ref["Login"])), &login); err != nil {
		t.Fatal(err)
	}
	if login.User != "ann" || login.Port != 5432 || !regexp.MustCompile(`^[A-Zd-z]{20}$`).MatchString(login.Password) {
		t.Errorf("the secret that is generated is %+v", login)
	}
	if word := p.secret(t, ref["Word"]); len(word) != 32 {
		t.Errorf("the password is %q; by default it has 32 characters", word)
	}
	parameter, err := p.SSM.GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String(ref["Parameter"])})
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "the parameter", []string{"StringList", "s,m,l"}, []string{string(parameter.Parameter.Type), *parameter.Parameter.Value})
	for _, id := range []string{ref["Key"], ref["Alias"]} {
		sealed, err := p.KMS.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &id, Plaintext: []byte("text")})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(*sealed.KeyId, ref["Key"]) {
			t.Errorf("%s encrypts with %s", id, *sealed.KeyId)
		}
	}

	password := p.secret(t, ref["Login"])
	for i := range externals { // as after an edit of the template
		switch externals[i].LogicalID {
		case "Plain":
			externals[i].Properties = map[string]any{"SecretString": "another"}
		case "Parameter":
			externals[i].Properties = map[string]any{"Type": "String", "Value": "another"}
		case "Topic":
			externals[i].Properties = map[string]any{"FifoTopic": true, "DisplayName": "another"}
		}
	}
	if _, err := p.S3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(ref["Bucket"]), Key: aws.String("kept")}); err != nil {
		t.Fatal(err)
	}
	diff(t, "what is not there the second time", want, p.makeExternals(t, externals))
	diff(t, "the secrets", []string{"open sesame", password}, []string{p.secret(t, ref["Plain"]), p.secret(t, ref["Login"])})
	if parameter, err = p.SSM.GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String(ref["Parameter"])}); err != nil || *parameter.Parameter.Value != "s,m,l" {
		t.Errorf("the parameter: %v, %v", parameter, err)
	}
	if _, err := p.S3.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(ref["Bucket"]), Key: aws.String("kept")}); err != nil {
		t.Error(err)
	}
}

// TestExternalsInAnotherRegion: a bucket's region is part of its creation.
func TestExternalsInAnotherRegion(t *testing.T) {
	t.Parallel()
	c, account := awstest.Config(t)
	c.Region = "eu-central-1"
	clients := provision.NewClients(c)
	bucket := "berlin-" + account
	absent, err := provision.MakeExternals(t.Context(), clients, []template.External{{LogicalID: "B", Type: "AWS::S3::Bucket", Name: bucket, Ref: bucket}})
	if err != nil || absent != nil {
		t.Fatal(absent, err)
	}
	made, err := clients.S3.GetBucketLocation(t.Context(), &s3.GetBucketLocationInput{Bucket: &bucket})
	if err != nil || made.LocationConstraint != "eu-central-1" {
		t.Errorf("%v, %v", made, err)
	}
}

// TestLookup reads what a template can refer to, on a real service.
func TestLookup(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.makeExternals(t, []template.External{{
		LogicalID: "Login", Type: "AWS::SecretsManager::Secret", Name: "login", Ref: "arn:aws:secretsmanager:us-east-1:" + p.options.AccountID + ":secret:login",
		Properties: map[string]any{"SecretString": `{"user": "ann", "port": 5432, "a:b": true}`},
	}})
	put := func(name, value string, typ ssmtypes.ParameterType) {
		t.Helper()
		if _, err := p.SSM.PutParameter(t.Context(), &ssm.PutParameterInput{Name: &name, Value: &value, Type: typ, Overwrite: aws.Bool(true)}); err != nil {
			t.Fatal(err)
		}
	}
	put("/host", "old.test", ssmtypes.ParameterTypeString)
	put("/host", "new.test", ssmtypes.ParameterTypeString)
	put("/sealed", "sesame", ssmtypes.ParameterTypeSecureString)
	renewed, err := p.SecretsManager.PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: aws.String("login"), SecretString: aws.String(`{"user": "bob"}`)})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		ref         template.Reference
		want, wrong string
		missing     bool
	}{
		{ref: template.Reference{Service: "ssm", Name: "/host"}, want: "new.test"},
		{ref: template.Reference{Service: "ssm", Name: "/host", Version: "1"}, want: "old.test"},
		{ref: template.Reference{Service: "ssm", Name: "/host", Version: "7"}, missing: true, wrong: "parameter /host in its version 7"},
		{ref: template.Reference{Service: "ssm-secure", Name: "/sealed"}, want: "sesame"},
		{ref: template.Reference{Service: "ssm", Name: "/sealed"}, wrong: "SecureString"},
		{ref: template.Reference{Service: "ssm", Name: "/none"}, missing: true, wrong: "aws ssm put-parameter --name /none --type String --value VALUE --region us-east-1 --endpoint-url " + p.options.SQSEndpoint},
		{ref: template.Reference{Service: "ssm-secure", Name: "/none"}, missing: true, wrong: "--type SecureString"},
		{ref: template.Reference{Service: "secretsmanager", Name: "login"}, want: `{"user": "bob"}`},
		{ref: template.Reference{Service: "secretsmanager", Name: "login", Key: "user"}, want: "bob"},
		{ref: template.Reference{Service: "secretsmanager", Name: "login", Key: "port", Stage: "AWSPREVIOUS"}, want: "5432"},
		{ref: template.Reference{Service: "secretsmanager", Name: "login", Key: "user", VersionID: *renewed.VersionId}, want: "bob"},
		{ref: template.Reference{Service: "secretsmanager", Name: "arn:aws:secretsmanager:us-east-1:" + p.options.AccountID + ":secret:login", Key: "user"}, want: "bob"},
		{ref: template.Reference{Service: "secretsmanager", Name: "login", Key: "none"}, wrong: `secret login: it has no key "none"`},
		{ref: template.Reference{Service: "secretsmanager", Name: "none", Key: "user"}, missing: true, wrong: `aws secretsmanager create-secret --name none --secret-string '{"user": "VALUE"}'`},
		{ref: template.Reference{Service: "secretsmanager", Name: "arn:aws:secretsmanager:us-east-1:1:secret:a/b"}, missing: true, wrong: "--name a/b "},
	} {
		got, err := provision.Lookup(t.Context(), p.Clients, tt.ref)
		missing := errors.As(err, new(*provision.NotFoundError))
		if tt.wrong == "" {
			if err != nil || got != tt.want {
				t.Errorf("%+v: %q, %v; want %q", tt.ref, got, err, tt.want)
			}
		} else if err == nil || !strings.Contains(err.Error(), tt.wrong) || missing != tt.missing || got != "" {
			t.Errorf("%+v: %q, missing %t, %v; want %q", tt.ref, got, missing, err, tt.wrong)
		}
	}
}
