package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"

	"paylane/shared/emulator/provision"
	"paylane/shared/emulator/template"
)

// ErrNoEndpoint is in the error of a [Start] without an Endpoint that the template needs.
// The error names each resource that needs one, with its line.
var ErrNoEndpoint = errors.New("it needs an endpoint that speaks AWS's protocols, such as LocalStack's")

// Absent is one of a template's Externals that is not there, with the reason.
type Absent = provision.Absent

// hasEndpoint reports whether the application runs at the Endpoint.
func (c Config) hasEndpoint() bool { return c.Platform == nil && c.Endpoint != "" }

// checkEndpoint refuses an endpoint that is not a URL.
func (c Config) checkEndpoint() error {
	if !c.hasEndpoint() {
		return nil
	}
	if u, err := url.Parse(c.Endpoint); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("the endpoint %q is not a URL such as http://127.0.0.1:4566", c.Endpoint)
	}
	return nil
}

// NeedsEndpoint returns each resource for which a template needs an endpoint.
func NeedsEndpoint(t *template.Template) []template.Problem {
	var problems problems
	for _, q := range t.Queues {
		problems.add(q.Line, q.LogicalID, "a queue needs an endpoint")
	}
	for _, table := range t.Tables {
		problems.add(table.Line, table.LogicalID, "a table needs an endpoint")
	}
	for _, x := range t.Externals {
		if x.Type == "AWS::SNS::Topic" && isGiven(t, x.Ref) {
			problems.add(x.Line, x.LogicalID, "a topic that a function is given needs an endpoint")
		}
	}
	return problems.list
}

// isGiven reports whether a function that runs here has a value in its environment.
func isGiven(t *template.Template, value string) bool {
	for _, f := range t.Functions {
		for _, v := range f.Environment {
			if strings.Contains(v, value) && IsInvoked(t, f.LogicalID) {
				return true
			}
		}
	}
	return false
}

// IsAccount reports whether the id of an access key is one of LocalStack's accounts: twelve
// digits. AWS's have at least 16 characters ("AccessKey", IAM API Reference).
func IsAccount(accessKeyID string) bool {
	return len(accessKeyID) == 12 && strings.Trim(accessKeyID, "0123456789") == ""
}

// account returns the account of the queues at the endpoint.
func account(c Credentials) string {
	if IsAccount(c.AccessKeyID) {
		return c.AccessKeyID
	}
	return "000000000000"
}

// clients returns the clients of the endpoint's services.
func (c Config) clients() provision.Clients {
	return provision.NewClients(aws.Config{Region: c.Region, BaseEndpoint: &c.Endpoint, Credentials: static(c.Credentials)})
}

func static(c Credentials) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken}, nil
	})
}

// resolve reads the template with the values that it refers to at the endpoint. Secrets of
// its own that it refers to are made first, since their values are generated, and so are the
// tables that have a stream, since its ARN is.
func (c Config) resolve(ctx context.Context) (*template.Template, error) {
	if err := c.checkEndpoint(); err != nil {
		return nil, err
	}
	if !c.hasEndpoint() {
		return c.read(nil, nil)
	}
	l := &lookups{ctx: ctx, clients: c.clients()}
	var streams map[string]string // nil until they are made
	for made := map[string]bool{}; ; {
		l.missing = nil
		t, err := c.read(l.find, streams)
		if l.failed != nil {
			return nil, fmt.Errorf("at the endpoint %s: %w", c.Endpoint, l.failed)
		}
		if err != nil {
			return nil, err
		}
		if len(l.missing) == 0 {
			if streams != nil {
				return t, nil
			}
			if streams, err = provision.MakeStreams(ctx, l.clients, t); err != nil {
				return nil, fmt.Errorf("at the endpoint %s: %w", c.Endpoint, err)
			}
			if len(streams) == 0 {
				return t, nil
			}
			continue
		}
		own := slices.DeleteFunc(slices.Clone(t.Externals), func(x template.External) bool {
			return x.Type != "AWS::SecretsManager::Secret" || !slices.Contains(l.missing, x.Name) && !slices.Contains(l.missing, x.Ref)
		})
		again := slices.DeleteFunc(slices.Clone(own), func(x template.External) bool { return made[x.LogicalID] })
		absent, err := provision.MakeExternals(ctx, l.clients, again)
		if err != nil {
			return nil, fmt.Errorf("at the endpoint %s: %w", c.Endpoint, err)
		}
		if len(absent) == len(again) {
			return nil, c.missing(l, own, absent)
		}
		for _, x := range again {
			made[x.LogicalID] = !slices.ContainsFunc(absent, func(a Absent) bool { return a.LogicalID == x.LogicalID })
		}
	}
}

// missing returns the error that names each value that is missing. A secret of the
// template's own is missing because it could not be made, perhaps for want of others.
func (c Config) missing(l *lookups, own []template.External, absent []Absent) error {
	_, err := c.read(func(ref template.Reference) (string, error) {
		if slices.ContainsFunc(own, func(x template.External) bool { return ref.Name == x.Name || ref.Name == x.Ref }) {
			return "", template.ErrLater
		}
		return provision.Lookup(l.ctx, l.clients, ref)
	}, nil)
	problems := problems{file: c.Template}
	for _, x := range own {
		reason := "it has none"
		if i := slices.IndexFunc(absent, func(a Absent) bool { return a.LogicalID == x.LogicalID }); i >= 0 {
			reason = absent[i].Reason
		}
		problems.add(x.Line, x.LogicalID, "its value is needed, but %s", reason)
	}
	return cmp.Or(err, problems.err())
}

// lookups reads values at the endpoint.
type lookups struct {
	ctx     context.Context //nolint:containedctx // it lives as long as the start
	clients provision.Clients
	missing []string // the names of the values that are not there
	failed  error    // the first call that failed: nothing is asked after it
}

// find leaves what is missing for later.
func (l *lookups) find(ref template.Reference) (string, error) {
	if l.failed != nil {
		return "", template.ErrLater
	}
	value, err := provision.Lookup(l.ctx, l.clients, ref)
	none, call := new(provision.NotFoundError), new(smithy.OperationError)
	switch {
	case errors.As(err, &none):
		l.missing = append(l.missing, ref.Name)
		return "", template.ErrLater
	case errors.As(err, &call):
		l.failed = err
		return "", template.ErrLater
	}
	return value, err
}
