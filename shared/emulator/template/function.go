package template

import (
	"slices"
	"strings"

	"paylane/shared/emulator/internal/aws"
)

// runtimes are those that can run a Go program; "go1.x" itself is gone from Lambda.
//
//nolint:gochecknoglobals // a table, never written
var runtimes = []string{"provided.al2023", "provided.al2"}

func (r *reader) readFunction(res *resource) {
	p := r.propertiesOfResource(res)
	p.asked["FunctionName"] = true
	name, ok := r.physicalName(res.at, p.path, res)
	if !ok {
		return
	}
	f := Function{
		LogicalID:    res.id,
		Name:         name,
		ARN:          r.fill(returns[typeFunction].attributes["Arn"], res, name),
		CodeURI:      r.codeURI(p),
		BuildMethod:  r.buildMethod(res),
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
}

// codeURI is the folder of the source; code that lies in S3 can't be built.
func (r *reader) codeURI(p *properties) string {
	value := p.get("CodeUri")
	switch {
	case value == nil:
		if p.n.get("CodeUri") == nil && p.n.get("ImageUri") == nil && p.n.get("InlineCode") == nil {
			p.problem("CodeUri", "it is required")
		}
		return ""
	case value.kind != scalar || strings.HasPrefix(value.text, "s3://"):
		p.problem("CodeUri", "it must be a folder: code in S3 can't be run locally")
		return ""
	}
	return value.text
}

func (r *reader) buildMethod(res *resource) string {
	metadata := r.propertiesOf(res.node.get("Metadata"), res.at, res.path+".Metadata", "metadata")
	return metadata.choice("BuildMethod", "", "go1.x", "makefile")
}

func (r *reader) architecture(p *properties) string {
	const standard = "x86_64"
	list := p.texts("Architectures")
	switch {
	case len(list) == 0:
		return standard
	case len(list) > 1 || (list[0] != "x86_64" && list[0] != "arm64"):
		p.problem("Architectures", "it must be x86_64 or arm64, and one of them only")
		return standard
	}
	return list[0]
}

// maxEnvironmentBytes is what all of them may have ("Working with Lambda environment
// variables").
const maxEnvironmentBytes = 4096

func (r *reader) environment(p *properties) map[string]string {
	environment := p.inner("Environment", typeFunction+" Environment")
	variables := environment.textMap("Variables")
	size := 0
	for name, value := range variables {
		size += len(name) + len(value)
		at := p.path + ".Environment.Variables"
		where := environment.get("Variables").get(name)
		switch {
		case aws.ReservedVariable(name):
			r.add(where, at, "%s is reserved by Lambda", name)
		case !aws.ValidVariable(name):
			r.add(where, at, "%s is no name for an environment variable", quote(name))
		}
	}
	if size > maxEnvironmentBytes {
		environment.problem("Variables", "they have %d bytes, and Lambda takes %d", size, maxEnvironmentBytes)
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
			r.readQueueEvent(res.id+e.key, e.at, event.inner("Properties", typeFunction+" Events SQS"), f)
		case "Schedule":
			r.readRule(res.id+e.key, e.at, event.inner("Properties", typeFunction+" Events Schedule"), f)
		case "ScheduleV2":
			r.readSchedule(res.id+e.key, e.at, event.inner("Properties", typeFunction+" Events ScheduleV2"), f)
		case "": // reported already
		default:
			event.problem("Type", "events of type %s are not supported", quote(typ))
			event.asked["Properties"] = true
		}
		event.done()
	}
}

// functionNamed finds a function by what a mapping may call it: its name, its ARN,
// or either with a version or an alias.
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
