// Command counter uses each of the shop's resources, and shows what it found.
package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
)

func config() aws.Config {
	return aws.Config{
		Region: os.Getenv("AWS_REGION"), BaseEndpoint: aws.String(os.Getenv("AWS_ENDPOINT_URL")),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY")}, nil
		}),
	}
}

func main() {
	lambda.Start(func(ctx context.Context) (map[string]string, error) {
		found := map[string]string{"banner": os.Getenv("BANNER"), "peer": os.Getenv("PEER")}
		if _, err := sns.NewFromConfig(config()).Publish(ctx, &sns.PublishInput{
			TopicArn: aws.String(os.Getenv("NEWS")), Message: aws.String("a customer"),
		}); err != nil {
			return nil, err
		}
		files := s3.NewFromConfig(config())
		if _, err := files.PutObject(ctx, &s3.PutObjectInput{
			Bucket: aws.String(os.Getenv("FILES")), Key: aws.String("customer"), Body: strings.NewReader("kept"),
		}); err != nil {
			return nil, err
		}
		file, err := files.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(os.Getenv("FILES")), Key: aws.String("customer")})
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(file.Body)
		if err != nil {
			return nil, err
		}
		found["file"] = string(text)
		secret, err := secretsmanager.NewFromConfig(config()).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String(os.Getenv("LOGIN"))})
		if err != nil {
			return nil, err
		}
		var login struct{ User, Password string }
		if err := json.Unmarshal([]byte(*secret.SecretString), &login); err != nil {
			return nil, err
		}
		found["user"] = login.User
		if login.Password == os.Getenv("PASSWORD") && len(login.Password) == 40 {
			found["password"] = "as in the secret"
		}
		sizes, err := ssm.NewFromConfig(config()).GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String(os.Getenv("SIZES"))})
		if err != nil {
			return nil, err
		}
		found["sizes"] = *sizes.Parameter.Value
		keys := kms.NewFromConfig(config())
		sealed, err := keys.Encrypt(ctx, &kms.EncryptInput{KeyId: aws.String(os.Getenv("KEY")), Plaintext: []byte("sealed")})
		if err != nil {
			return nil, err
		}
		opened, err := keys.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob})
		if err != nil {
			return nil, err
		}
		found["opened"] = string(opened.Plaintext)
		return found, nil
	})
}
