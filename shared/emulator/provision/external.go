package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	secrettypes "github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go"

	"paylane/shared/emulator/template"
)

// The types that other code here names, too.
const (
	typeTopic     = "AWS::SNS::Topic"
	typeSecret    = "AWS::SecretsManager::Secret" //nolint:gosec // a type's name
	typeParameter = "AWS::SSM::Parameter"
	typeAlias     = "AWS::KMS::Alias"
)

// makers are the types that are made at the endpoint.
//
//nolint:gochecknoglobals // a table, never written
var makers = map[string]func(context.Context, Clients, template.External) error{
	typeTopic:         makeTopic,
	"AWS::S3::Bucket": makeBucket,
	typeSecret:        makeSecret,
	typeParameter:     makeParameter,
	"AWS::KMS::Key":   makeKey,
	typeAlias:         makeAlias,
}

// Makes reports whether [MakeExternals] makes resources of a type, where the endpoint has
// their service.
func Makes(typ string) bool { return makers[typ] != nil }

// Absent is a resource that is not at the endpoint: calls to it will fail.
type Absent struct {
	LogicalID string
	// Reason says why, in a few words.
	Reason string
}

// refusal is why something was not made although the service answered.
type refusal string

func (r refusal) Error() string { return string(r) }

// MakeExternals creates those of a template's Externals that don't exist, and returns those
// that it does not make, and those that the endpoint refuses: it may lack their service. The
// error is that the endpoint did not answer; what was made before stays.
func MakeExternals(ctx context.Context, c Clients, externals []template.External) ([]Absent, error) {
	var absent []Absent
	// An alias needs its key.
	ordered := slices.Clone(externals)
	slices.SortStableFunc(ordered, func(a, b template.External) int { return rank(a) - rank(b) })
	for _, x := range ordered {
		reason, err := makeExternal(ctx, c, x)
		if err != nil {
			return absent, err
		}
		if reason != "" {
			absent = append(absent, Absent{x.LogicalID, reason})
		}
	}
	return absent, nil
}

func rank(x template.External) int {
	if x.Type == typeAlias {
		return 1
	}
	return 0
}

// makeExternal creates a resource, or says why it is not there.
func makeExternal(ctx context.Context, c Clients, x template.External) (reason string, err error) {
	create, ok := makers[x.Type]
	if !ok {
		return "resources of its type are not made", nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = create(ctx, c, x)
	var own refusal
	var answer *awshttp.ResponseError
	switch {
	case err == nil:
		return "", nil
	case errors.As(err, &own):
		return own.Error(), nil
	case errors.As(err, &answer) && answer.HTTPStatusCode() > 0 && ctx.Err() == nil:
		return refused(answer, x), nil
	}
	return "", fmt.Errorf("create %s: %w", x.LogicalID, err)
}

// refused says what a service answered, unless its words repeat what must stay secret.
func refused(answer *awshttp.ResponseError, x template.External) string {
	status := answer.HTTPStatusCode()
	text := fmt.Sprintf("the endpoint answers %d %s", status, http.StatusText(status))
	var api smithy.APIError
	if !errors.As(answer, &api) {
		return text
	}
	text += ", " + api.ErrorCode()
	for _, hidden := range []string{"Value", "SecretString"} {
		if value := textOf(x.Properties[hidden]); value != "" && strings.Contains(api.ErrorMessage(), value) {
			return text
		}
	}
	return text + ": " + api.ErrorMessage()
}

func makeTopic(ctx context.Context, c Clients, x template.External) error {
	_, err := c.SNS.GetTopicAttributes(ctx, &sns.GetTopicAttributesInput{TopicArn: &x.Ref})
	if missing := new(snstypes.NotFoundException); !errors.As(err, &missing) {
		return err
	}
	attributes := make(map[string]string)
	for name, value := range x.Properties {
		if name != "TopicName" {
			attributes[name] = textOf(value)
		}
	}
	made, err := c.SNS.CreateTopic(ctx, &sns.CreateTopicInput{Name: &x.Name, Attributes: attributes})
	if err != nil {
		return err
	}
	return sameARN(aws.ToString(made.TopicArn), x.Ref)
}

// sameARN checks that what was made is what the functions know.
func sameARN(made, want string) error {
	if made != want {
		return refusal(fmt.Sprintf("it was created as %s, but the template's functions use %s: do the accounts differ?", made, want))
	}
	return nil
}

func makeBucket(ctx context.Context, c Clients, x template.External) error {
	_, err := c.S3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &x.Name})
	if missing := new(s3types.NotFound); !errors.As(err, &missing) {
		return err
	}
	create := &s3.CreateBucketInput{Bucket: &x.Name}
	if region := c.S3.Options().Region; region != "us-east-1" { // which has no constraint of its own
		create.CreateBucketConfiguration = &s3types.CreateBucketConfiguration{
			LocationConstraint: s3types.BucketLocationConstraint(region),
		}
	}
	if textOf(x.Properties["ObjectLockEnabled"]) == "true" {
		create.ObjectLockEnabledForBucket = aws.Bool(true)
	}
	if _, err := c.S3.CreateBucket(ctx, create); err != nil {
		return err
	}
	if v, ok := x.Properties["VersioningConfiguration"].(map[string]any); ok {
		if _, err := c.S3.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
			Bucket:                  &x.Name,
			VersioningConfiguration: &s3types.VersioningConfiguration{Status: s3types.BucketVersioningStatus(textOf(v["Status"]))},
		}); err != nil {
			return err
		}
	}
	if rules := corsRules(x); rules != nil {
		_, err := c.S3.PutBucketCors(ctx, &s3.PutBucketCorsInput{
			Bucket: &x.Name, CORSConfiguration: &s3types.CORSConfiguration{CORSRules: rules},
		})
		return err
	}
	return nil
}

// corsRules returns the rules of a bucket for web pages.
func corsRules(x template.External) (rules []s3types.CORSRule) {
	configuration, _ := x.Properties["CorsConfiguration"].(map[string]any)
	list, _ := configuration["CorsRules"].([]any)
	for _, item := range list {
		rule, _ := item.(map[string]any)
		made := s3types.CORSRule{
			AllowedHeaders: texts(rule["AllowedHeaders"]), AllowedMethods: texts(rule["AllowedMethods"]),
			AllowedOrigins: texts(rule["AllowedOrigins"]), ExposeHeaders: texts(rule["ExposedHeaders"]),
		}
		if age, err := strconv.ParseInt(textOf(rule["MaxAge"]), 10, 32); err == nil {
			made.MaxAgeSeconds = aws.Int32(int32(age))
		}
		rules = append(rules, made)
	}
	return rules
}

func makeSecret(ctx context.Context, c Clients, x template.External) error {
	_, err := c.SecretsManager.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &x.Name})
	if missing := new(secrettypes.ResourceNotFoundException); !errors.As(err, &missing) {
		return err
	}
	input := &secretsmanager.CreateSecretInput{Name: &x.Name}
	if value, ok := x.Properties["SecretString"]; ok {
		input.SecretString = aws.String(textOf(value))
	}
	if g, ok := x.Properties["GenerateSecretString"].(map[string]any); ok {
		generated, err := generateSecret(ctx, c.SecretsManager, g)
		if err != nil {
			return err
		}
		input.SecretString = &generated
	}
	made, err := c.SecretsManager.CreateSecret(ctx, input)
	if err != nil {
		return err
	}
	if at := aws.ToString(made.ARN); !strings.HasPrefix(at, x.Ref+"-") {
		return sameARN(at, x.Ref)
	}
	return nil
}

// generateSecret makes a secret's value ("AWS::SecretsManager::Secret
// GenerateSecretString", CloudFormation reference): a password, or the JSON of a template
// with the password under one of its keys.
func generateSecret(ctx context.Context, client *secretsmanager.Client, g map[string]any) (string, error) {
	flag := func(name string) *bool { return aws.Bool(textOf(g[name]) == "true") }
	input := &secretsmanager.GetRandomPasswordInput{
		ExcludeLowercase: flag("ExcludeLowercase"), ExcludeNumbers: flag("ExcludeNumbers"),
		ExcludePunctuation: flag("ExcludePunctuation"), ExcludeUppercase: flag("ExcludeUppercase"),
		IncludeSpace: flag("IncludeSpace"),
	}
	if value, ok := g["RequireEachIncludedType"]; ok {
		input.RequireEachIncludedType = aws.Bool(textOf(value) == "true")
	}
	if value, ok := g["ExcludeCharacters"]; ok {
		input.ExcludeCharacters = aws.String(textOf(value))
	}
	if value, ok := g["PasswordLength"]; ok {
		length, err := strconv.ParseInt(textOf(value), 10, 64)
		if err != nil {
			return "", refusal("its PasswordLength is not a number")
		}
		input.PasswordLength = &length
	}
	key, shape := textOf(g["GenerateStringKey"]), textOf(g["SecretStringTemplate"])
	if (key == "") != (shape == "") {
		return "", refusal("GenerateStringKey and SecretStringTemplate go together")
	}
	made, err := client.GetRandomPassword(ctx, input)
	if err != nil {
		return "", err
	}
	password := aws.ToString(made.RandomPassword)
	if key == "" {
		return password, nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(shape), &fields); err != nil || fields == nil {
		return "", refusal("its SecretStringTemplate is not a JSON object")
	}
	if fields[key], err = json.Marshal(password); err != nil {
		return "", err
	}
	text, err := json.Marshal(fields)
	return string(text), err
}

func makeParameter(ctx context.Context, c Clients, x template.External) error {
	input := &ssm.PutParameterInput{
		Name: &x.Name, Type: ssmtypes.ParameterType(textOf(x.Properties["Type"])), Value: aws.String(textOf(x.Properties["Value"])),
		Tier: ssmtypes.ParameterTier(textOf(x.Properties["Tier"])),
	}
	if pattern, ok := x.Properties["AllowedPattern"]; ok {
		input.AllowedPattern = aws.String(textOf(pattern))
	}
	_, err := c.SSM.PutParameter(ctx, input) // it overwrites nothing
	if there := new(ssmtypes.ParameterAlreadyExists); errors.As(err, &there) {
		return nil
	}
	return err
}

// customID is the tag by which LocalStack gives a key the id that the functions know ("Key
// Management Service", LocalStack's documentation). Others make up an id of their own.
const customID = "_custom_id_"

func makeKey(ctx context.Context, c Clients, x template.External) error {
	_, err := c.KMS.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &x.Name})
	if missing := new(kmstypes.NotFoundException); !errors.As(err, &missing) {
		return err
	}
	made, err := c.KMS.CreateKey(ctx, &kms.CreateKeyInput{
		KeySpec: kmstypes.KeySpec(textOf(x.Properties["KeySpec"])), KeyUsage: kmstypes.KeyUsageType(textOf(x.Properties["KeyUsage"])),
		MultiRegion: aws.Bool(textOf(x.Properties["MultiRegion"]) == "true"), Origin: kmstypes.OriginType(textOf(x.Properties["Origin"])),
		Tags: []kmstypes.Tag{{TagKey: aws.String(customID), TagValue: &x.Name}},
	})
	if err != nil {
		return err
	}
	if id := made.KeyMetadata.KeyId; aws.ToString(id) != x.Name {
		if _, err := c.KMS.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: id}); err != nil {
			return err
		}
		return refusal("the endpoint lets nobody choose the id of a key, and the template's functions use " + x.Name)
	}
	if textOf(x.Properties["Enabled"]) == "false" {
		_, err = c.KMS.DisableKey(ctx, &kms.DisableKeyInput{KeyId: &x.Name})
	}
	return err
}

func makeAlias(ctx context.Context, c Clients, x template.External) error {
	_, err := c.KMS.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: &x.Name, TargetKeyId: aws.String(textOf(x.Properties["TargetKeyId"]))})
	if there := new(kmstypes.AlreadyExistsException); errors.As(err, &there) {
		return nil
	}
	return err
}

// textOf returns a template's value as text: a scalar as it would be written, and JSON for
// the rest, as CloudFormation passes it on where a service wants a document.
func textOf(value any) string {
	switch value := value.(type) {
	case nil:
		return ""
	case map[string]any, []any:
		text, _ := json.Marshal(value) // which has only what JSON has
		return string(text)
	default:
		return fmt.Sprint(value)
	}
}

func texts(value any) (all []string) {
	list, _ := value.([]any)
	for _, item := range list {
		all = append(all, textOf(item))
	}
	return all
}
