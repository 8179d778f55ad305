package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"golang.org/x/sync/errgroup"

	"paylane/shared/emulator"
	"paylane/shared/emulator/asyncinvoke"
	"paylane/shared/emulator/eventsource"
	"paylane/shared/emulator/gobuild"
	"paylane/shared/emulator/provision"
	"paylane/shared/emulator/runtimeapi"
	"paylane/shared/emulator/sqssource"
	"paylane/shared/emulator/template"
)

const (
	// sourceCheck is how often sources are looked at. A change is built once they
	// stood still from one look to the next.
	sourceCheck = 200 * time.Millisecond
	// buildsAtOnce bounds the builds side by side: the compiler uses all cores anyway.
	buildsAtOnce = 2
	// remoteReceivers hide the latency of a queue behind a network; Lambda begins
	// with five, too ("Lambda polling", SQS event source mappings).
	remoteReceivers = 5
)

// credentials are what the runner and the functions sign with.
type credentials = runtimeapi.Credentials

// account gives the account that the queues at the endpoint are in: LocalStack takes an
// access key of twelve digits for its number.
func account(c credentials) string {
	if regexp.MustCompile(`^\d{12}$`).MatchString(c.AccessKeyID) {
		return c.AccessKeyID
	}
	return "000000000000"
}

// built is the platform of a template's own binaries, on queues and tables at an
// endpoint that speaks AWS's protocols.
type built struct {
	config
	sqs       *sqs.Client
	folder    string // of the builds; removed at the end
	functions []*builtFunction
}

type builtFunction struct {
	template.Function
	code    *gobuild.Function
	sources *gobuild.Sources
	stirred bool // they changed at the last look
	running *runtimeapi.Function
}

// newBuilt builds all functions, and makes what the endpoint lacks.
func newBuilt(ctx context.Context, c config, t *template.Template) (*built, error) {
	folder, err := os.MkdirTemp("", "paylane-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the builds: %w", err)
	}
	aws := aws.Config{Region: c.Region, BaseEndpoint: &c.Endpoint, Credentials: static(c.Credentials)}
	p := &built{config: c, sqs: sqs.NewFromConfig(aws), folder: folder}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		clients := provision.Clients{SQS: p.sqs, DynamoDB: dynamodb.NewFromConfig(aws)}
		if err := provision.Make(ctx, clients, t, c.Log); err != nil {
			return fmt.Errorf("at the endpoint %s: %w", c.Endpoint, err)
		}
		return nil
	})
	group.Go(func() error { return p.buildAll(ctx, t) })
	if err := group.Wait(); err != nil {
		return nil, errors.Join(err, p.close(ctx))
	}
	return p, nil
}

func static(c credentials) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken}, nil
	})
}

func (p *built) buildAll(ctx context.Context, t *template.Template) error {
	for _, f := range t.Functions {
		if !invoked(t, f.LogicalID) {
			continue
		}
		code, err := gobuild.New(f, filepath.Dir(p.Template), filepath.Join(p.folder, f.LogicalID))
		if err != nil {
			return fmt.Errorf("%s:%d: function %s: %w", p.Template, f.Line, f.LogicalID, err)
		}
		p.functions = append(p.functions, &builtFunction{Function: f, code: code})
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(buildsAtOnce)
	for _, f := range p.functions {
		group.Go(func() error {
			// Looked at before the build: what changes during it is built again.
			f.sources = f.code.Sources(ctx)
			program, err := p.build(ctx, f)
			if err != nil {
				return err
			}
			f.running, err = runtimeapi.New(p.runtime(f.Function, program))
			return err
		})
	}
	return group.Wait()
}

func (p *built) build(ctx context.Context, f *builtFunction) (program string, err error) {
	began := p.Now()
	if program, err = f.code.Build(ctx); err == nil {
		p.say("built %s in %.1f s", f.LogicalID, p.Now().Sub(began).Seconds())
	}
	return program, err
}

// say tells what happens, on the start page. One Write is one line.
func (p *built) say(format string, args ...any) {
	_, _ = io.WriteString(p.Out, fmt.Sprintf(format, args...)+"\n")
}

func (p *built) runtime(f template.Function, program string) runtimeapi.Config {
	variables := map[string]string{}
	maps.Copy(variables, f.Environment)
	variables["AWS_ENDPOINT_URL"] = p.Endpoint // a template's own is for elsewhere
	f.Environment = variables
	return runtimeapi.Config{
		Function: f, Binary: program, Region: p.Region, Credentials: p.Credentials, Log: p.Out, Logger: p.Log, Now: p.Now,
	}
}

// invoker implements [platform].
func (p *built) invoker(f template.Function) (emulator.Invoker, error) {
	for _, b := range p.functions {
		if b.LogicalID == f.LogicalID {
			return b.running, nil
		}
	}
	return nil, errors.New("it was not built")
}

// source implements [platform].
func (p *built) source(q template.Queue) (eventsource.Source, int) {
	return sqssource.New(p.sqs, q.URL), remoteReceivers
}

// sender implements [platform].
func (p *built) sender(q template.Queue) asyncinvoke.Send {
	return func(ctx context.Context, body string) error {
		_, err := p.sqs.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &q.URL, MessageBody: &body})
		return err
	}
}

// watch implements [platform]: a function whose sources changed is built again. Where
// that fails, the function goes on as it was.
func (p *built) watch(ctx context.Context) {
	look := time.NewTicker(sourceCheck)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		var group errgroup.Group
		group.SetLimit(buildsAtOnce)
		for _, f := range p.functions {
			if f.stirs(ctx) {
				group.Go(func() error {
					p.rebuild(ctx, f)
					return nil
				})
			}
		}
		_ = group.Wait() // each has said what is wrong
	}
}

// stirs tells whether the sources changed and now stand still.
func (f *builtFunction) stirs(ctx context.Context) bool {
	if f.sources.Changed() {
		f.sources, f.stirred = f.code.Sources(ctx), true
		return false
	}
	stirred := f.stirred
	f.stirred = false
	return stirred
}

func (p *built) rebuild(ctx context.Context, f *builtFunction) {
	program, err := p.build(ctx, f)
	if err == nil {
		err = f.running.Replace(program)
	}
	if err != nil && ctx.Err() == nil {
		p.say("%s\n%s goes on as it was", strings.TrimSpace(err.Error()), f.LogicalID)
	}
}

// close implements [platform].
func (p *built) close(ctx context.Context) error {
	ended, cancel := context.WithCancel(ctx)
	cancel()
	var group errgroup.Group
	for _, f := range p.functions {
		switch {
		case f.running == nil:
		case f.URL != nil && f.URL.Stream:
			// A stream lasts as long as the function may. It is cut off: its client can come
			// back, or has gone already.
			group.Go(func() error {
				_ = f.running.Close(ended)
				return nil
			})
		default:
			group.Go(func() error { return f.running.Close(ctx) })
		}
	}
	return errors.Join(group.Wait(), os.RemoveAll(p.folder)) //nolint:gosec // it is the one that newBuilt made
}
