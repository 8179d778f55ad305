package template

import (
	"regexp"
	"slices"
	"strings"
)

// runtimes are those that can run a Go program; Lambda has withdrawn "go1.x" itself.
//
//nolint:gochecknoglobals // a table, never written
var runtimes = []string{"provided.al2023", "provided.al2"}

func (r *reader) readFunction(res *resource) {
	p := r.propertiesOfResource(res)
	p.asked["FunctionName"] = true
	name, ok := r.physicalName(res.at, p.path, res)
	if !ok { // what is wrong with it is reported, or it is read later
		name = r.stackName(res.id)
	}
	f := Function{
		LogicalID:    res.id,
		Name:         name,
		ARN:          r.fill(returns[typeFunction].attributes["Arn"], res, name),
		CodeURI:      r.codeURI(p),
		Build:        r.build(res),
		Handler:      p.required("Handler"),
		Runtime:      p.required("Runtime"),
		Architecture: r.architecture(p),
		Timeout:      p.seconds("Timeout", 3, 1, 900),
		MemoryMB:     p.integer("MemorySize", 128, 128, 10_240),
		Environment:  r.environment(p),
		Logging:      r.logging(p, name),
		Async:        r.asyncInvokes(p),
		URL:          r.functionURL(res, p),
		Line:         res.at.line,
	}
	if f.Runtime != "" && !slices.Contains(runtimes, f.Runtime) {
		p.problem("Runtime", "the runtime %s is not supported; a Go program runs on %s", quote(f.Runtime), runtimes[0])
	}
	p.choice("PackageType", "Zip", "Zip")
	if p.get("ReservedConcurrentExecutions") != nil {
		reserved := p.integer("ReservedConcurrentExecutions", 0, 0, 1_000_000)
		f.ReservedConcurrency = &reserved
	}
	if alias := p.text("AutoPublishAlias", ""); alias != "" {
		f.ARN += ":" + alias
	}
	for _, other := range r.made.Functions {
		if other.Name == name {
			r.add(res.at, res.path, "the function %s has the same name: %s", other.LogicalID, quote(name))
		}
	}
	r.made.Functions = append(r.made.Functions, f)
	r.readEvents(res, p, f)
	p.done()
	r.metadataOf(res).skipUnread()
}

// metadataOf returns a function's Metadata, of which several readers know some keys each.
func (r *reader) metadataOf(res *resource) *properties {
	if res.metadata == nil {
		res.metadata = r.propertiesOf(res.node.get("Metadata"), res.at, res.path+".Metadata", "metadata")
	}
	return res.metadata
}

// codeURI returns the path of the code, which is the template's folder if it is left out;
// code in S3 can't be built.
func (r *reader) codeURI(p *properties) string {
	value := p.get("CodeUri")
	switch {
	case value == nil:
		return "."
	case value.kind != scalar || strings.HasPrefix(value.text, "s3://"):
		p.problem("CodeUri", "it must be a folder or a zip file: code in S3 can't be run locally")
		return ""
	}
	return value.text
}

// build reads what a resource's Metadata says of the build. Metadata is open to any tool,
// so keys that are not the runner's are no problem, but named.
func (r *reader) build(res *resource) Build {
	metadata := r.metadataOf(res)
	b := Build{Method: metadata.choice("BuildMethod", "", "go1.x", "makefile"), Skip: metadata.boolean("SkipBuild", false)}
	if b.Method != "go1.x" {
		b.ProjectRootDirectory = metadata.text("ProjectRootDirectory", "")
		b.ContextPath = metadata.text("ContextPath", "")
		b.WorkingDirectory = metadata.text("WorkingDirectory", "")
	}
	if b.Method != "makefile" {
		properties := metadata.inner("BuildProperties", "metadata BuildProperties")
		b.TrimPath = properties.boolean("TrimGoPath", false)
		properties.skipUnread()
	} else {
		metadata.skip("make takes no build properties", "BuildProperties")
	}
	return b
}

func (r *reader) architecture(p *properties) string {
	const standard = "x86_64"
	list := p.texts("Architectures")
	switch {
	case len(list) == 0:
		return standard
	case len(list) > 1 || (list[0] != "x86_64" && list[0] != "arm64"):
		p.problem("Architectures", "it must be exactly one of x86_64 and arm64")
		return standard
	}
	return list[0]
}

// maxEnvironmentBytes is the limit for all variables together ("Working with Lambda
// environment variables").
const maxEnvironmentBytes = 4096

// variable is the pattern for the names of environment variables, of the API's type
// Environment.
var variable = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]+$`)

// reserved are the environment variables that a function can't set: those of "Defined
// runtime environment variables", and the one that makes aws-lambda-go poll in parallel,
// which only Lambda Managed Instances set.
//
//nolint:gochecknoglobals // a table, never written
var reserved = []string{
	"_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV",
	"AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION",
	"AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME",
	"AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
	"AWS_LAMBDA_RUNTIME_API", "AWS_LAMBDA_MAX_CONCURRENCY", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
}

func (r *reader) environment(p *properties) map[string]string {
	environment := p.inner("Environment", typeFunction+" Environment")
	variables := environment.textMap("Variables")
	size := 0
	for name, value := range variables {
		size += len(name) + len(value)
		at := p.path + ".Environment.Variables"
		where := environment.get("Variables").get(name)
		switch {
		case slices.Contains(reserved, name):
			r.add(where, at, "%s is reserved by Lambda", name)
		case !variable.MatchString(name):
			r.add(where, at, "%s is not a valid name for an environment variable", quote(name))
		case strings.Contains(value, "\x00"):
			r.add(where, at+"."+name, "an environment variable can't contain a NUL")
		}
	}
	if size > maxEnvironmentBytes {
		environment.problem("Variables", "they have %d bytes; Lambda accepts at most %d", size, maxEnvironmentBytes)
	}
	environment.done()
	return variables
}

func (r *reader) logging(p *properties, name string) Logging {
	config := p.inner("LoggingConfig", typeFunction+" LoggingConfig")
	logging := Logging{
		Format:           config.choice("LogFormat", "Text", "Text", "JSON"),
		ApplicationLevel: config.choice("ApplicationLogLevel", "", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"),
		Group:            config.text("LogGroup", "/aws/lambda/"+name),
	}
	config.done()
	return logging
}

// readEvents reads what invokes the function.
func (r *reader) readEvents(res *resource, p *properties, f Function) {
	events := p.inner("Events", typeFunction+" Events")
	if events.n == nil {
		return
	}
	for _, e := range events.n.entries {
		event := events.inner(e.key, typeFunction+" Event")
		if event.n == nil {
			continue
		}
		switch typ := event.required("Type"); typ {
		case "HttpApi":
			r.readRoute(e, event.inner("Properties", typeFunction+" Events HttpApi"), f)
		case "SQS":
			r.readQueueMapping(res.id+e.key, e.at, event.inner("Properties", typeFunction+" Events SQS"), "Queue", f)
		case "DynamoDB":
			r.readStreamMapping(res.id+e.key, e.at, event.inner("Properties", typeFunction+" Events DynamoDB"), "Stream", f)
		case "Schedule":
			r.readRule(res.id+e.key, e.at, event.inner("Properties", typeFunction+" Events Schedule"), f)
		case "ScheduleV2":
			r.readSchedule(res.id+e.key, e.at, event.inner("Properties", typeFunction+" Events ScheduleV2"), f)
		case "": // already reported
		default:
			event.problem("Type", "events of type %s are not supported", quote(typ))
			event.asked["Properties"] = true
		}
		event.done()
	}
}

// functionNamed returns the function that a mapping refers to by its name or ARN, with or
// without a version or an alias.
func (r *reader) functionNamed(name string) (Function, bool) {
	if strings.HasPrefix(name, "arn:") {
		if parts := strings.SplitN(name, ":", 8); len(parts) >= 7 {
			name = parts[6]
		}
	}
	name, _, _ = strings.Cut(name, ":")
	i := slices.IndexFunc(r.made.Functions, func(f Function) bool { return f.Name == name })
	if i < 0 {
		return Function{}, false
	}
	return r.made.Functions[i], true
}
