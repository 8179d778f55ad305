package shared_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// module is the import path that all of the project's packages begin with.
const module = "paylane/"

// sdkServices is how the import paths of AWS's clients begin.
const sdkServices = "github.com/aws/aws-sdk-go-v2/service/"

// rooms lists what each package may import besides the standard library; a path stands
// for all below it. The longest room that contains a package counts.
var rooms = map[string][]string{
	"shared/webhook/outbound": {"paylane/shared/webhook"},
	"shared/webhook": {
		"paylane/shared/document", "paylane/shared/job", "paylane/shared/order", "paylane/shared/wire",
		"github.com/google/uuid", "github.com/standard-webhooks/standard-webhooks/libraries/go",
	},
	"shared/internal":                  {},
	"shared/order":                     {"github.com/google/uuid"},
	"shared/queue":                     {},
	"shared/feed":                      {"github.com/aws/aws-lambda-go/events"},
	"shared/document":                  {},
	"shared/gateway":                   {"paylane/shared/order"},
	"shared/gateway/simulator":         {"paylane/shared/order", "paylane/shared/gateway"},
	"shared/gateway/stripe":            {"paylane/shared/order", "paylane/shared/gateway", "github.com/stripe/stripe-go/v85"},
	"shared/gateway/stripe/stripetest": {"github.com/google/uuid"},
	"shared/gateway/gateways":          {"paylane/shared/gateway"},
	"shared/job":                       {"github.com/aws/aws-lambda-go/events"},
	"shared/pipeline":                  {"paylane/shared/order", "paylane/shared/gateway", "paylane/shared/job"},
	"shared/wire":                      {"paylane/shared/order"},
	"shared/httpapi": {
		"paylane/shared/wire", "paylane/shared/webhook", "paylane/shared/order", "paylane/shared/gateway", "paylane/shared/pipeline", "github.com/danielgtaylor/huma/v2", "github.com/go-json-experiment/json", "github.com/google/uuid",
	},
	"shared/console": {"paylane/shared/order", "paylane/shared/wire", "golang.org/x/oauth2"},
	"shared/telemetry": {
		"github.com/aws/aws-lambda-go/lambdacontext", "go.opentelemetry.io/otel/attribute", "go.opentelemetry.io/otel/trace",
	},
	"shared/handlers": {
		"paylane/shared/accesstoken", "paylane/shared/handlers/internal",
		"paylane/shared/document", "paylane/shared/order", "paylane/shared/gateway", "paylane/shared/job", "paylane/shared/pipeline", "paylane/shared/httpapi", "paylane/shared/console",
		"paylane/shared/queue", "paylane/shared/webhook", "paylane/shared/telemetry",
		"github.com/aws/aws-lambda-go/events", "github.com/aws/aws-lambda-go/lambdaurl", "github.com/google/uuid",
		"go.opentelemetry.io/otel/attribute", "go.opentelemetry.io/otel/codes", "go.opentelemetry.io/otel/semconv", "go.opentelemetry.io/otel/trace",
	},
	"shared/handlers/internal/environ":   {"github.com/caarlos0/env/v11"},
	"shared/handlers/internal/httpevent": {"github.com/aws/aws-lambda-go", "github.com/awslabs/aws-lambda-go-api-proxy"},
	"shared/handlers/hook": {
		"paylane/shared/gateway", "paylane/shared/handlers/internal/environ", "paylane/shared/smoke",
		"github.com/aws/aws-lambda-go/events", "github.com/aws/aws-sdk-go-v2",
	},
	"shared/handlers/handlerstest": {"paylane/shared/gateway", "paylane/shared/handlers", "paylane/shared/webhook"},
	"shared/awscall":               {"github.com/aws/aws-sdk-go-v2", "github.com/aws/smithy-go"},
	"shared/awscall/awstest":       {"github.com/aws/aws-sdk-go-v2"},
	"shared/dynamostore": {
		"paylane/shared/awscall", "paylane/shared/document", "paylane/shared/order", "github.com/aws/aws-sdk-go-v2", "github.com/aws/smithy-go",
		"github.com/aws/aws-lambda-go/events",
		"golang.org/x/sync/errgroup",
	},
	"shared/sqsqueue": {
		"paylane/shared/awscall", "paylane/shared/order", "paylane/shared/queue", "github.com/aws/aws-sdk-go-v2", "github.com/aws/smithy-go",
	},
	"shared/pebblestore": {
		"paylane/shared/document", "paylane/shared/order", "paylane/shared/queue", "paylane/shared/pebblestore/internal", "github.com/cockroachdb/pebble/v2",
		"github.com/google/uuid",
	},
	"shared/pebblestore/pebbletest": {
		"paylane/shared/order", "paylane/shared/queue", "paylane/shared/pebblestore", "github.com/cockroachdb/pebble/v2",
	},
	"shared/accesstoken":           {"github.com/golang-jwt/jwt/v5", "golang.org/x/sync/singleflight"},
	"shared/accesstoken/tokentest": {"github.com/golang-jwt/jwt/v5"},
	"shared/emulator": {
		"paylane/shared/emulator", "paylane/shared/feed", "paylane/shared/queue", "github.com/aws/aws-lambda-go", "github.com/google/uuid", "go.yaml.in/yaml/v3", "golang.org/x/sync",
	},
	"shared/emulator/apigateway": {
		"paylane/shared/emulator", "paylane/shared/accesstoken", "github.com/aws/aws-lambda-go/events", "golang.org/x/net/netutil",
	},
	"shared/emulator/dynamostream": {
		"paylane/shared/awscall", "paylane/shared/feed", "paylane/shared/order",
		"github.com/aws/aws-lambda-go/events", "github.com/aws/aws-sdk-go-v2",
	},
	"shared/emulator/provision": {"paylane/shared/emulator", "github.com/aws/aws-sdk-go-v2", "github.com/aws/smithy-go"},
	"shared/emulator/runner": {
		"paylane/shared/emulator", "paylane/shared/accesstoken", "paylane/shared/feed", "paylane/shared/queue", "paylane/shared/sqsqueue",
		"github.com/aws/aws-sdk-go-v2", "github.com/aws/smithy-go", "golang.org/x/sync/errgroup",
	},
	"shared/contract": {
		"paylane/shared/document", "paylane/shared/order", "paylane/shared/queue", "paylane/shared/gateway", "github.com/google/go-cmp", "github.com/google/uuid", "pgregory.net/rapid",
		"paylane/shared/feed", "github.com/aws/aws-lambda-go/events",
	},
	"shared/e2e": {"paylane/shared/sim/reference"},
	"shared/sim": {
		"paylane/shared/sim", "paylane/shared/document", "paylane/shared/dynamostore", "paylane/shared/emulator", "paylane/shared/gateway",
		"paylane/shared/feed", "paylane/shared/handlers", "paylane/shared/order", "paylane/shared/pebblestore", "paylane/shared/queue", "paylane/shared/webhook",
		"github.com/aws/aws-lambda-go/events", "github.com/cockroachdb/pebble/v2", "go.opentelemetry.io/otel/trace",
	},
	"shared/sim/model": {
		"paylane/shared/document", "paylane/shared/dynamostore", "paylane/shared/feed", "paylane/shared/gateway", "paylane/shared/order", "paylane/shared/queue",
		"github.com/aws/aws-lambda-go/events",
	},
	"shared/sim/reference":   {"paylane/shared/order", "github.com/anishathalye/porcupine"},
	"shared/smoke":           {"paylane/shared/gateway", "paylane/shared/order", "github.com/google/uuid"},
	"docs/examples/voucher":  {"paylane/shared/gateway", "paylane/shared/order"},
	"docs/examples/receipts": {"paylane/shared/handlers", "paylane/shared/job", "paylane/shared/order", "github.com/caarlos0/env/v11"},
	"docs/examples/receiver": {"github.com/standard-webhooks/standard-webhooks/libraries/go"},
	"functions": {
		"paylane/functions/internal", "paylane/shared/handlers", "paylane/shared/gateway",
		"paylane/shared/dynamostore", "paylane/shared/sqsqueue", "paylane/shared/telemetry", "paylane/shared/webhook/outbound", "github.com/aws/aws-lambda-go",
		"github.com/aws/aws-sdk-go-v2", "github.com/caarlos0/env/v11", "golang.org/x/sync/singleflight",
	},
	"cmd": {""},
}

// never says what must not be linked into a Lambda function, however indirectly, and why.
var never = map[string]string{
	"github.com/cockroachdb/pebble":        "the embedded store is for one machine",
	"paylane/shared/pebblestore":           "the embedded store is for one machine",
	"paylane/shared/emulator":              "the emulator stands in for what is real there",
	sdkServices + "kms":                    "the emulator makes what a template describes",
	sdkServices + "s3":                     "the emulator makes what a template describes",
	sdkServices + "sns":                    "the emulator makes what a template describes",
	"go.opentelemetry.io/otel/sdk":         "spans are exported by the local program; on AWS the log has the trace and the times",
	"go.opentelemetry.io/otel/exporters":   "spans are exported by the local program; on AWS the log has the trace and the times",
	"paylane/shared/contract":              "test code",
	"paylane/shared/awscall/awstest":       "test code",
	"paylane/shared/handlers/handlerstest": "test code",
	"paylane/shared/accesstoken/tokentest": "test code",
	"paylane/shared/e2e":                   "test code",
	"paylane/shared/sim":                   "test code",
	"testing":                              "test code",
}

// callsGateway has the functions that call the payment gateway, and may read its key.
var callsGateway = map[string]bool{
	"paylane/functions/payment": true, "paylane/functions/deadletter": true, "paylane/functions/reconcile": true,
}

type goPackage struct {
	ImportPath   string
	Name         string
	Dir          string
	Imports      []string
	Deps         []string
	GoFiles      []string
	TestGoFiles  []string
	XTestGoFiles []string
}

func list(t *testing.T, args ...string) []goPackage {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json"}, args...)...)
	cmd.Dir = ".."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %v: %v\n%s", args, err, &stderr)
	}
	var packages []goPackage
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// below reports whether a package is the one at path, or below it.
func below(pkg, path string) bool {
	return path == "" || pkg == path || strings.HasPrefix(pkg, path+"/")
}

func room(pkg string) (name string, ok bool) {
	for candidate := range rooms {
		if below(pkg, module+candidate) && len(candidate) > len(name) {
			name, ok = candidate, true
		}
	}
	return name, ok
}

// TestArrows: no package imports what its room does not let it.
func TestArrows(t *testing.T) {
	visited := make(map[string]bool)
	for _, p := range list(t, "./...") {
		if len(p.GoFiles) == 0 {
			continue // tests only
		}
		name, ok := room(p.ImportPath)
		if !ok {
			t.Errorf("%s is in no room: give it one here", p.ImportPath)
			continue
		}
		visited[name] = true
		for _, imported := range p.Imports {
			standard := !strings.Contains(strings.SplitN(imported, "/", 2)[0], ".") && !strings.HasPrefix(imported, module)
			if standard || p.ImportPath == imported {
				continue
			}
			allowed := false
			for _, path := range append([]string{"paylane/shared/internal"}, rooms[name]...) {
				allowed = allowed || below(imported, path)
			}
			if !allowed {
				t.Errorf("%s imports %s, which the room %s may not", p.ImportPath, imported, name)
			}
		}
	}
	for name := range rooms {
		if !visited[name] {
			t.Errorf("the room %s has no package: remove it here", name)
		}
	}
}

// TestFunctionsLinkNoLocalParts looks at everything a Lambda binary holds.
func TestFunctionsLinkNoLocalParts(t *testing.T) {
	functions := list(t, "-deps=false", "./functions/...")
	if len(functions) < 3 {
		t.Fatalf("found %d packages below functions", len(functions))
	}
	for _, p := range functions {
		for _, dep := range p.Deps {
			if p.Name == "main" && dep == module+"functions/internal/gatewaykey" && !callsGateway[p.ImportPath] {
				t.Errorf("%s links %s, and calls no gateway", p.ImportPath, dep)
			}
			for path, why := range never {
				if below(dep, path) || strings.HasPrefix(dep, path+"/") {
					t.Errorf("%s links %s: %s", p.ImportPath, dep, why)
				}
			}
		}
	}
}

// TestHandlersLinkNoGateway: a program with a gateway of its own, which it passes to the
// handlers, links no other.
func TestHandlersLinkNoGateway(t *testing.T) {
	for _, p := range list(t, "-deps=false", "./shared/handlers", "./shared/httpapi", "./shared/pipeline") {
		for _, dep := range p.Deps {
			if below(dep, module+"shared/gateway") && dep != module+"shared/gateway" {
				t.Errorf("%s links %s", p.ImportPath, dep)
			}
		}
	}
}

// TestPackageComments: every package has one comment.
func TestPackageComments(t *testing.T) {
	for _, p := range list(t, "./...") {
		var with []string
		for _, file := range p.GoFiles {
			parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, parser.ParseComments|parser.PackageClauseOnly)
			if err != nil {
				t.Fatal(err)
			}
			if parsed.Doc != nil {
				with = append(with, file)
			}
		}
		if len(p.GoFiles) > 0 && len(with) != 1 {
			t.Errorf("%s has %d package comments %v, want one", p.ImportPath, len(with), with)
		}
	}
}
