// Package gatewaykey reads the payment gateway's API key on AWS. Only functions that call the
// gateway link it, and may read the key.
package gatewaykey

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/caarlos0/env/v11"
	"golang.org/x/sync/singleflight"
)

const (
	// keyReadWithin is how long one read of the key may take. It is not bound to any caller,
	// since others may wait for it.
	keyReadWithin = 3 * time.Second
	// keyRest is how long a key is not read again after it was: with a wrong one, every
	// payment would read it.
	keyRest = 10 * time.Second
)

type environment struct {
	// ARN is of the secret of Secrets Manager, or the SecureString of Parameter Store, that is
	// the key; empty if there is none.
	ARN string `env:"GATEWAY_SECRET_ARN"`
}

// New returns what reads the key that a function's variables name, or nil if they name none.
// See gateways.Config: the key is read on first use and kept, callers share a read, and an
// error is not kept. Anew reads again, but not within some seconds of the last time.
func New(variables map[string]string, c aws.Config, now func() time.Time) (func(ctx context.Context, anew bool) (string, error), error) {
	e, err := env.ParseAsWithOptions[environment](env.Options{Environment: variables})
	if err != nil || e.ARN == "" {
		return nil, err
	}
	name, err := arn.Parse(e.ARN)
	if err != nil {
		return nil, fmt.Errorf("the ARN of the gateway's API key: %w", err)
	}
	k := &key{now: now}
	switch name.Service {
	case "secretsmanager":
		k.read = secret(secretsmanager.NewFromConfig(c), e.ARN)
	case "ssm":
		k.read = parameter(ssm.NewFromConfig(c), e.ARN)
	default:
		return nil, fmt.Errorf("the gateway's API key must be in secretsmanager or ssm, and is in %s", name.Service)
	}
	return k.get, nil
}

// key is the API key once it was read.
type key struct {
	read  func(context.Context) (string, error)
	now   func() time.Time
	reads singleflight.Group

	mu    sync.Mutex // guards what follows
	value string
	at    time.Time // when it was read
}

func (k *key) get(ctx context.Context, anew bool) (string, error) {
	k.mu.Lock()
	value, at := k.value, k.at
	k.mu.Unlock()
	if value != "" && (!anew || k.now().Sub(at) < keyRest) {
		return value, nil
	}
	read := k.reads.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keyReadWithin)
		defer cancel()
		text, err := k.read(ctx)
		if err != nil {
			return "", err
		}
		value, err := bare(text)
		if err != nil {
			return "", err
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		k.value, k.at = value, k.now()
		return value, nil
	})
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case r := <-read:
		value, _ := r.Val.(string)
		return value, r.Err
	}
}

// secret reads from Secrets Manager.
func secret(client *secretsmanager.Client, id string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		out, err := client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &id})
		if err != nil {
			return "", fmt.Errorf("read the secret: %w", err)
		}
		return aws.ToString(out.SecretString), nil
	}
}

// parameter reads from Parameter Store, which takes the ARN as a name ("GetParameter").
func parameter(client *ssm.Client, id string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		out, err := client.GetParameter(ctx, &ssm.GetParameterInput{Name: &id, WithDecryption: aws.Bool(true)})
		if err != nil {
			return "", fmt.Errorf("read the parameter: %w", err)
		}
		if out.Parameter == nil {
			return "", nil
		}
		return aws.ToString(out.Parameter.Value), nil
	}
}

// bare checks that a value is a key and nothing else. The error never has the value.
func bare(value string) (string, error) {
	value = strings.TrimSpace(value)
	if value == "" || strings.ContainsAny(value, " \t\r\n{\"") {
		return "", errors.New("the secret must be the API key alone: no JSON, no quotes, nothing around it")
	}
	return value, nil
}
