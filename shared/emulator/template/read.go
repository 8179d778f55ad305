package template

import (
	"cmp"
	"errors"
	"strings"
)

// Options are what a deployment would know besides the template. The zero value is a
// stack called "local" in us-east-1.
type Options struct {
	// Parameters replace the defaults of the template's own.
	Parameters map[string]string
	// Imports are the values of Fn::ImportValue, by export name.
	Imports map[string]string
	// AccountID is twelve digits; empty is 123456789012, as in SAM's local commands.
	AccountID string
	Region    string
	StackName string
	// SQSEndpoint is how the queues' URLs begin; empty is the region's own, such as
	// https://sqs.us-east-1.amazonaws.com.
	SQSEndpoint string
	// Origin is where a local runner serves the HTTP API and the function URLs, such as
	// "http://127.0.0.1:3000". A function URL is below [LocalURLPath], or at the root where
	// it has LocalPaths. Empty is their domains on AWS.
	Origin string
	// Streams are the ARNs of the tables' streams, by the tables' logical ids, where they are
	// known; the others are made up.
	Streams map[string]string
	// Lookup returns values that a deployment reads elsewhere. Nil makes each of them a
	// problem that says how to supply it.
	Lookup func(Reference) (string, error)
}

// Reference is a value that a deployment reads from another service: that of a parameter
// of a type such as AWS::SSM::Parameter::Value<String>, or of a dynamic reference such as
// {{resolve:ssm:/shop/key}} ("Get values stored in other services using dynamic
// references", CloudFormation user guide).
type Reference struct {
	// Service is "ssm", "ssm-secure" or "secretsmanager".
	Service string
	// Name is the parameter's name, or the secret's name or ARN.
	Name string
	// Version is a parameter's version; empty is the newest.
	Version string
	// Key, Stage and VersionID are a secret's: the key in its JSON, of which the value is
	// taken; the version's staging label, and its id. Empty are the whole string, AWSCURRENT
	// and none.
	Key, Stage, VersionID string
}

// ErrLater is what a Lookup returns for a value that is not known yet but will be at the
// start: whatever depends on it is left out, without a problem.
var ErrLater = errors.New("the value is read at the start")

// LocalURLPath is where a local runner serves function URLs: it is followed by the
// function's logical id and a slash.
const LocalURLPath = "/_url/"

func (o *Options) setDefaults() {
	o.AccountID = cmp.Or(o.AccountID, "123456789012")
	o.Region = cmp.Or(o.Region, "us-east-1")
	o.StackName = cmp.Or(o.StackName, "local")
	o.SQSEndpoint = strings.TrimSuffix(cmp.Or(o.SQSEndpoint, "https://sqs."+o.Region+".amazonaws.com"), "/")
}

// Read reads a template. The name is for messages. The error is an [*Error] that lists
// everything in the template that can't be run.
func Read(name string, source []byte, o Options) (*Template, error) {
	o.setDefaults()
	root, err := parse(source)
	if err != nil {
		var placed *Error
		if errors.As(err, &placed) {
			placed.File = name
			return nil, placed
		}
		return nil, &Error{File: name, Problems: []Problem{{Text: err.Error()}}}
	}
	r := &reader{
		options: o, root: root,
		parameters: map[string]*node{},
		conditions: map[string]truth{},
		resources:  map[string]*resource{},
		found:      map[Reference]found{},
		skipped:    map[string]bool{},
		global:     map[*node]string{},
		merged:     map[string]bool{},
	}
	r.made.AccountID, r.made.Region, r.made.StackName = o.AccountID, o.Region, o.StackName
	r.read()
	if err := r.err(name); err != nil {
		return nil, err
	}
	return &r.made, nil
}

// reader is one reading of a template.
type reader struct {
	problems
	options    Options
	root       *node
	parameters map[string]*node // values by name
	conditions map[string]truth // those evaluated so far
	resources  map[string]*resource
	order      []*resource
	evaluating []string // what is being evaluated, outermost first
	steps      int
	output     *Output // that is being evaluated
	found      map[Reference]found
	skipped    map[string]bool  // the paths in made.Skipped
	global     map[*node]string // the path of each key in Globals
	merged     map[string]bool  // the sections of Globals that a resource takes
	made       Template
}

// resource is one entry of Resources.
type resource struct {
	id, typ    string
	path       string // "Resources.<id>"
	at         *node  // its place
	node       *node
	properties *node     // with Globals merged in; nil without any
	condition  string    // its Condition attribute
	exists     bool      // its condition is true, or it has none
	name       string    // its physical name, once known
	function   *resource // whose URL it is; nil for other types
	unusable   bool      // its type is refused or its condition not known: enough is said
	metadata   *properties
}

func (r *reader) read() {
	if r.root.kind != object {
		r.add(r.root, "", "a template must be a mapping, not %s", r.root.describe())
		return
	}
	r.readTop()
	r.readParameters()
	r.checkGlobals()
	r.checkConditions()
	r.readResources()
	for _, res := range r.order {
		if !res.exists {
			continue
		}
		switch res.typ {
		case typeQueue:
			r.readQueue(res)
		case typeTable:
			r.readTable(res)
		case typeHTTPAPI:
			r.readHTTPAPI(res)
		default:
			if passed, ok := externals[res.typ]; ok {
				r.readExternal(res, passed)
			}
		}
	}
	for _, res := range r.order { // they refer to queues and APIs
		if res.exists && res.typ == typeFunction {
			r.readFunction(res)
		}
	}
	for _, res := range r.order { // they refer to functions
		if res.exists && res.typ == typeMapping {
			r.readMapping(res)
		}
	}
	r.checkQueues()
	r.checkAPIs()
	r.checkMappings()
	r.checkSchedules()
	r.readOutputs()
	r.checkSkipped()
}

// readTop checks the sections, and that the transforms are SAM's alone.
func (r *reader) readTop() {
	top := r.propertiesOf(r.root, r.root, "", "template")
	for _, key := range []string{"Conditions", "Globals", "Mappings", "Metadata", "Outputs", "Parameters", "Resources"} {
		top.asked[key] = true
	}
	for _, transform := range top.texts("Transform") {
		if transform != "AWS::Serverless-2016-10-31" {
			top.problem("Transform", "the transform %s is not supported", quote(transform))
		}
	}
	metadata := r.propertiesOf(r.root.get("Metadata"), r.root, "Metadata", "Metadata")
	r.readOwn(metadata)
	metadata.skipUnread()
	top.done()
}

// checkConditions evaluates all conditions, as CloudFormation does: it refuses a template
// in which one fails.
func (r *reader) checkConditions() {
	section := r.root.get("Conditions")
	if section == nil {
		return
	}
	if section.kind != object {
		r.add(section, "Conditions", "it must be a mapping, not %s", section.describe())
		return
	}
	for _, e := range section.entries {
		r.condition(e.at, e.key, "Conditions."+e.key)
	}
}

// readResources records every resource, and refuses the types that can't be run.
func (r *reader) readResources() {
	section := r.root.get("Resources")
	if section == nil || section.kind != object {
		r.add(section, "Resources", "a template needs a mapping of resources")
		return
	}
	for _, e := range section.entries {
		path := "Resources." + e.key
		if strings.HasPrefix(e.key, "Fn::") {
			r.add(e.at, "Resources", "%s is not supported: write the resources out", e.key)
			continue
		}
		if e.value.kind != object {
			r.add(e.value, path, "a resource must be a mapping, not %s", e.value.describe())
			continue
		}
		res := &resource{id: e.key, path: path, at: e.at, node: e.value, exists: true}
		attributes := r.propertiesOf(e.value, e.at, path, "resource")
		res.typ = attributes.required("Type")
		for _, key := range []string{"Properties", "Metadata", "IgnoreGlobals"} {
			attributes.asked[key] = true
		}
		if res.condition = attributes.text("Condition", ""); res.condition != "" {
			var known bool
			res.exists, known = r.condition(e.value.get("Condition"), res.condition, path+".Condition")
			res.exists, res.unusable = res.exists && known, !known
		}
		section, ofSAM := strings.CutPrefix(res.typ, "AWS::Serverless::")
		if res.properties = e.value.get("Properties"); ofSAM {
			res.properties = r.withGlobals(section, e.value, path)
		}
		r.resources[res.id] = res
		r.order = append(r.order, res)
		if !res.exists || res.typ == "" {
			continue
		}
		if r.checkType(res) {
			attributes.done()
			if res.typ != typeFunction { // whose Metadata is read
				r.propertiesOf(res.node.get("Metadata"), res.at, res.path+".Metadata", "Metadata").skipUnread()
			}
		}
	}
	r.addImplicitAPI()
	r.addFunctionURLs()
	r.addOthersOfSAM()
}

// checkType refuses a resource that is neither emulated, nor somebody else's, nor without
// effect, and reports whether its properties are read.
func (r *reader) checkType(res *resource) bool {
	if emulated(res.typ) || externals[res.typ] != nil {
		return true
	}
	reason := acceptedTypes[res.typ]
	res.unusable = reason == ""
	switch {
	case res.typ == typeURL:
		r.add(res.node.get("Type"), res.path, "the resource type %s is not supported: write it as the function's FunctionUrlConfig", typeURL)
	case reason == "":
		r.add(res.node.get("Type"), res.path, "the resource type %s is not supported", res.typ)
	default:
		r.skip(res.at, res.path, res.typ, reason)
		if res.typ == typeSubscription {
			r.checkSubscription(res.properties, res.path+".Properties")
		}
	}
	return false
}

// emulated reports whether a type is one that this package emulates.
func emulated(typ string) bool {
	switch typ {
	case typeFunction, typeHTTPAPI, typeQueue, typeTable, typeMapping:
		return true
	}
	return false
}

// implicitAPI is the logical id of the API that SAM adds for HttpApi events without an
// ApiId.
const implicitAPI = "ServerlessHttpApi"

// addImplicitAPI adds that API.
func (r *reader) addImplicitAPI() {
	if r.resources[implicitAPI] != nil {
		return
	}
	for _, res := range r.order {
		if !res.exists || res.typ != typeFunction {
			continue
		}
		for _, e := range entriesOf(res.properties.get("Events")) {
			typ := e.value.get("Type")
			if typ == nil || typ.text != "HttpApi" || e.value.get("Properties").get("ApiId") != nil {
				continue
			}
			api := &resource{id: implicitAPI, typ: typeHTTPAPI, path: "Resources." + implicitAPI, at: e.at, exists: true}
			api.properties = r.withGlobals("HttpApi", nil, api.path)
			r.resources[implicitAPI] = api
			r.order = append(r.order, api)
			return
		}
	}
}

// addOthersOfSAM adds the resources that SAM makes from others and that can be referred to:
// the roles of functions, the stages of HTTP APIs, and the REST API of Api events, which are
// refused.
func (r *reader) addOthersOfSAM() {
	const typeRole, restAPI = "AWS::IAM::Role", "ServerlessRestApi"
	add := func(made resource) {
		if r.resources[made.id] == nil {
			r.resources[made.id] = &made
		}
	}
	for _, res := range r.order {
		if res.typ == typeHTTPAPI && res.exists {
			stage := r.propertiesOfResource(res).text("StageName", DefaultStage)
			name := res.at.textNode(stage)
			add(resource{
				id: stageID(res.id, stage), typ: typeStage, path: res.path, at: res.at, exists: true,
				properties: &node{kind: object, entries: []entry{{key: "StageName", at: name, value: name}}},
			})
		}
		if res.typ != typeFunction {
			continue
		}
		if res.properties.get("Role") == nil {
			add(resource{
				id: res.id + "Role", typ: typeRole, path: res.path, at: res.at, exists: res.exists,
				unusable: res.unusable, condition: res.condition,
			})
		}
		for _, e := range entriesOf(res.properties.get("Events")) {
			if typ := e.value.get("Type"); res.exists && typ != nil && typ.text == "Api" {
				for _, id := range []string{restAPI, restAPI + "ProdStage"} {
					add(resource{id: id, path: res.path, at: e.at, exists: true, unusable: true})
				}
			}
		}
	}
}

// stageID returns the logical id that SAM makes for an API's stage (http_api_generator.py).
// Of a name that has other characters it has a hash, which nobody would write.
func stageID(api, stage string) string {
	if stage == DefaultStage {
		return api + "ApiGatewayDefaultStage"
	}
	return api + stage + "Stage"
}

func entriesOf(n *node) []entry {
	if n == nil {
		return nil
	}
	return n.entries
}
