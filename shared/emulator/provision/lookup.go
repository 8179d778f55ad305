package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	secrettypes "github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"paylane/shared/emulator/template"
)

// NotFoundError is a value that a template refers to and that is not at the endpoint.
type NotFoundError struct {
	// What names it.
	What string
	// Make is how the AWS CLI makes it.
	Make string
}

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("there is no %s: make it with %s", e.What, e.Make)
}

// Lookup reads a value that a template refers to. The error is a [*NotFoundError] if there
// is none. No error has the value in it.
func Lookup(ctx context.Context, c Clients, ref template.Reference) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var value string
	var err error
	if ref.Service == "secretsmanager" {
		value, err = readSecret(ctx, c, ref)
	} else {
		value, err = readParameter(ctx, c, ref)
	}
	if missing := new(NotFoundError); err != nil && !errors.As(err, &missing) {
		return "", fmt.Errorf("read %s: %w", name(ref), err)
	}
	return value, err
}

// name says which value is meant.
func name(ref template.Reference) string {
	text := "parameter " + ref.Name
	if ref.Service == "secretsmanager" {
		text = "secret " + ref.Name
	}
	if version := ref.Version + ref.VersionID; version != "" { // one of them at most
		text += " in its version " + version
	}
	if ref.Stage != "" {
		text += " in its stage " + ref.Stage
	}
	return text
}

func readParameter(ctx context.Context, c Clients, ref template.Reference) (string, error) {
	full := ref.Name
	if ref.Version != "" {
		full += ":" + ref.Version
	}
	got, err := c.SSM.GetParameter(ctx, &ssm.GetParameterInput{Name: &full, WithDecryption: aws.Bool(ref.Service == "ssm-secure")})
	missing, version := new(ssmtypes.ParameterNotFound), new(ssmtypes.ParameterVersionNotFound)
	if errors.As(err, &missing) || errors.As(err, &version) {
		typ := "String"
		if ref.Service == "ssm-secure" {
			typ = "SecureString"
		}
		o := c.SSM.Options()
		return "", &NotFoundError{name(ref) + at(o.BaseEndpoint), "`aws ssm put-parameter --name " + ref.Name + " --type " + typ +
			" --value VALUE" + flags(o.BaseEndpoint, o.Region) + "`"}
	}
	switch {
	case err != nil:
		return "", err
	case ref.Service == "ssm" && got.Parameter.Type == ssmtypes.ParameterTypeSecureString:
		return "", errors.New("it is a SecureString, which CloudFormation reads as {{resolve:ssm-secure:…}} alone")
	}
	return aws.ToString(got.Parameter.Value), nil
}

func readSecret(ctx context.Context, c Clients, ref template.Reference) (string, error) {
	input := &secretsmanager.GetSecretValueInput{SecretId: &ref.Name}
	if ref.Stage != "" {
		input.VersionStage = &ref.Stage
	}
	if ref.VersionID != "" {
		input.VersionId = &ref.VersionID
	}
	got, err := c.SecretsManager.GetSecretValue(ctx, input)
	if missing := new(secrettypes.ResourceNotFoundException); errors.As(err, &missing) {
		o := c.SecretsManager.Options()
		_, id, isARN := strings.Cut(ref.Name, ":secret:")
		if !isARN {
			id = ref.Name
		}
		value := "VALUE"
		if ref.Key != "" {
			value = fmt.Sprintf(`'{%q: "VALUE"}'`, ref.Key)
		}
		return "", &NotFoundError{name(ref) + at(o.BaseEndpoint), "`aws secretsmanager create-secret --name " + id +
			" --secret-string " + value + flags(o.BaseEndpoint, o.Region) + "`"}
	}
	switch {
	case err != nil:
		return "", err
	case got.SecretString == nil:
		return "", errors.New("its value is binary, which a template can't refer to")
	case ref.Key == "":
		return *got.SecretString, nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(*got.SecretString), &fields); err != nil {
		return "", fmt.Errorf("it has no key %q: it is not a JSON object", ref.Key)
	}
	value, ok := fields[ref.Key]
	if !ok {
		return "", fmt.Errorf("it has no key %q", ref.Key)
	}
	var text string
	if json.Unmarshal(value, &text) != nil {
		text = string(value)
	}
	return text, nil
}

func at(endpoint *string) string {
	if endpoint == nil {
		return ""
	}
	return " at " + *endpoint
}

func flags(endpoint *string, region string) string {
	text := " --region " + region
	if endpoint != nil {
		text += " --endpoint-url " + *endpoint
	}
	return text
}
