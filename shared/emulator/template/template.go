package template

import "time"

// Template is what the emulator runs. Conditions, parameters and intrinsic functions are
// resolved; every slice is in the template's order.
type Template struct {
	// AccountID, Region and StackName are those of [Options] or their defaults.
	AccountID, Region, StackName string

	Functions []Function
	APIs      []HTTPAPI
	Queues    []Queue
	Tables    []Table
	Mappings  []Mapping
	// StreamMappings are those from tables.
	StreamMappings []StreamMapping
	Schedules      []Schedule

	// Externals are resources that the functions' code can reach, but that the emulator
	// does not run itself.
	Externals []External
	// Lookups are the values that [Options.Lookup] was asked for, each once.
	Lookups []Reference
	// Outputs are the template's, for people.
	Outputs []Output
	// Skipped is everything in the template that has no effect locally.
	Skipped []Skipped
}

// External is a resource that the functions' code can reach and that is somebody else's to
// run: a topic, a bucket, a secret, a parameter of Systems Manager, a KMS key, a user pool.
type External struct {
	LogicalID string
	Type      string
	// Name is the physical name, or the id where the type has none: a key's, a user pool's.
	Name string
	// Ref is what Ref returns, by which code may know it: a topic's ARN, a secret's ARN
	// without the characters that AWS appends.
	Ref string
	// Properties are those of CloudFormation that matter to code, resolved, as a [Table]'s
	// are.
	Properties map[string]any
	Line       int
}

// Output is one of the template's Outputs.
type Output struct {
	Name, Description string
	// Value is empty if it is not known locally; Unknown then says why.
	Value, Unknown string
	Line           int
}

// Skipped is a resource, property or key that has no effect locally.
type Skipped struct {
	// Path leads to it: "Resources.Api.Properties.Tracing".
	Path string
	// Type is a resource's type; empty for anything else.
	Type string
	// Reason says why, in a few words.
	Reason string
	Line   int
}

// Function is an AWS::Serverless::Function that runs a Go program.
type Function struct {
	LogicalID string
	Name      string
	// ARN is the one that the function is invoked by, and that a handler sees in its
	// lambdacontext. With AutoPublishAlias it ends in the alias.
	ARN string
	// CodeURI is the folder of the source or of the program, or a zip file with the program,
	// as written: relative to the template. Without one it is ".", the template's folder.
	CodeURI string
	Build   Build
	// Handler is only a label in Lambda, whose provided runtimes run the program "bootstrap".
	// A build of "go1.x" may find the package there, below CodeURI.
	Handler string
	Runtime string
	// Architecture is "x86_64" or "arm64".
	Architecture string
	Timeout      time.Duration
	MemoryMB     int
	// ReservedConcurrency limits the concurrent invocations; nil means no limit, and 0
	// allows none.
	ReservedConcurrency *int
	Environment         map[string]string
	Logging             Logging
	// Async configures asynchronous invocations, such as those of schedules.
	Async AsyncInvokes
	// URL is nil without a FunctionUrlConfig.
	URL  *FunctionURL
	Line int
}

// Build says how a function's program is made, in the resource's Metadata ("Building
// custom runtimes" and "Building Go functions", AWS SAM developer guide). Paths are as
// written: relative to the template, and empty unless they are there.
type Build struct {
	// Method is BuildMethod: "go1.x", "makefile" or empty.
	Method string
	// Skip reports whether CodeURI has the program already: SkipBuild.
	Skip bool
	// ProjectRootDirectory is the folder that is built in place of CodeURI, ContextPath the
	// Makefile's folder, WorkingDirectory where make runs. They are for make alone.
	ProjectRootDirectory, ContextPath, WorkingDirectory string
	// TrimPath reports whether go build gets -trimpath: TrimGoPath of BuildProperties.
	TrimPath bool
}

// FunctionURL is a function's FunctionUrlConfig. Anybody may call it: its AuthType is
// NONE.
type FunctionURL struct {
	// LogicalID is that of the resource which SAM makes from it: the function's with
	// "Url" appended.
	LogicalID string
	// ID is the first part of its domain name.
	ID string
	// DomainName is where AWS would serve it, without a scheme.
	DomainName string
	// Stream reports whether the invoke mode is RESPONSE_STREAM rather than BUFFERED.
	Stream bool
	// CORS is nil without a Cors.
	CORS *CORS
	// LocalPaths are paths such as "/orders/{id}/events" that a local runner also serves
	// from this URL, which on AWS has its own domain. They come from the resource's
	// Metadata.
	LocalPaths []string
}

// AsyncInvokes is a function's EventInvokeConfig.
type AsyncInvokes struct {
	// MaxRetries is how often an event is tried again after a function error: 0 to 2.
	MaxRetries int
	// MaxAge is how long after its arrival an event may still be tried.
	MaxAge time.Duration
	// OnSuccess and OnFailure are the logical ids of the queues that receive a record of
	// each invocation that succeeded or failed; empty for none.
	OnSuccess, OnFailure string
}

// Logging is a function's LoggingConfig.
type Logging struct {
	// Format is "Text" or "JSON".
	Format string
	// ApplicationLevel is empty unless the template sets it.
	ApplicationLevel string
	// Group is the log group's name.
	Group string
}

// HTTPAPI is an AWS::Serverless::HttpApi with the routes that the functions' HttpApi
// events add to it.
type HTTPAPI struct {
	LogicalID string
	// ID is the API's id and the first part of its domain name.
	ID string
	// DomainName is where AWS would serve it, without a scheme.
	DomainName string
	AccountID  string
	// Stage is the stage's name, or "$default".
	Stage          string
	StageVariables map[string]string
	// CORS is nil without a CorsConfiguration.
	CORS   *CORS
	Routes []Route
	Line   int
}

// DefaultStage is the stage whose name is not part of the path, DefaultRoute the route
// for requests that no other matches, and AnyMethod the method of a route that matches
// any.
const (
	DefaultStage = "$default"
	DefaultRoute = "$default"
	AnyMethod    = "ANY"
)

// Route sends requests to a function.
type Route struct {
	// Key is "GET /orders/{id}", "ANY /x" or [DefaultRoute].
	Key string
	// Method and Path are the parts of Key; both empty for the default route.
	Method, Path string
	// Function is the logical id.
	Function string
	// Timeout is how long the API waits for the function.
	Timeout time.Duration
	// Authorizer is nil for a route that is open to anybody.
	Authorizer *JWTAuthorizer
	// Scopes lists the scopes of which a token must have one; empty means no check.
	Scopes []string
	// Throttle is nil unless the template sets a limit for the route or the stage.
	Throttle *Throttle
	Line     int
}

// JWTAuthorizer checks JSON web tokens.
type JWTAuthorizer struct {
	Name     string
	Issuer   string
	Audience []string
	// IdentitySource is where the token is, such as "$request.header.Authorization".
	IdentitySource string
}

// Throttle is a token bucket: Rate requests a second, Burst at once.
type Throttle struct {
	Rate  float64
	Burst int
}

// CORS is an API's CorsConfiguration, or a function URL's Cors.
type CORS struct {
	AllowOrigins     []string
	AllowMethods     []string
	AllowHeaders     []string
	ExposeHeaders    []string
	AllowCredentials bool
	// MaxAge is nil unless the template sets it.
	MaxAge *time.Duration
}

// Queue is an AWS::SQS::Queue; standard, never FIFO.
type Queue struct {
	LogicalID         string
	Name              string
	ARN               string
	URL               string
	VisibilityTimeout time.Duration
	Retention         time.Duration
	Delay             time.Duration
	ReceiveWait       time.Duration
	MaxMessageBytes   int
	// DeadLetterQueue is the logical id of the queue to which a receive beyond
	// MaxReceiveCount moves a message; empty without a redrive policy.
	DeadLetterQueue string
	MaxReceiveCount int
	Line            int
}

// Table is an AWS::DynamoDB::Table.
type Table struct {
	LogicalID string
	Name      string
	ARN       string
	// StreamARN is its stream's; empty without a StreamSpecification.
	StreamARN string
	// Properties are CloudFormation's, resolved: map[string]any, []any, string,
	// bool, int64 and float64.
	Properties map[string]any
	Line       int
}

// Mapping is an event source mapping from a queue to a function.
type Mapping struct {
	LogicalID string
	// Function and Queue are logical ids.
	Function, Queue string
	Enabled         bool
	BatchSize       int
	// Window is MaximumBatchingWindowInSeconds: how long to gather a batch.
	Window time.Duration
	// MaxConcurrency limits the mapping's concurrent invocations; 0 means no limit.
	MaxConcurrency int
	// ReportBatchItemFailures reports whether the function reports failed records
	// one by one.
	ReportBatchItemFailures bool
	// Filters are event patterns, as JSON. If there are any, a record must match one.
	Filters []string
	Line    int
}

// StreamMapping is an event source mapping from a table's stream to a function
// ("CreateEventSourceMapping" in the Lambda API reference).
type StreamMapping struct {
	LogicalID string
	// Function and Table are logical ids.
	Function, Table string
	Enabled         bool
	// StartingPosition is "TRIM_HORIZON" or "LATEST".
	StartingPosition string
	BatchSize        int
	// Window is MaximumBatchingWindowInSeconds: how long to gather a batch.
	Window time.Duration
	// Parallelization is how many batches of a shard are processed at once, each with the
	// changes of other items.
	Parallelization int
	// MaxRetries is how often a batch that failed is tried again; -1 means without end.
	MaxRetries int
	// MaxRecordAge is when a record is given up; 0 means never.
	MaxRecordAge time.Duration
	// Bisect splits a batch in two when the function fails.
	Bisect bool
	// ReportBatchItemFailures reports whether the function reports the first record that
	// failed.
	ReportBatchItemFailures bool
	// OnFailure is the logical id of the queue that learns what was given up; empty for none.
	OnFailure string
	// Filters are event patterns, as JSON. If there are any, a record must match one.
	Filters []string
	Line    int
}

// Schedule invokes a function asynchronously by the clock.
type Schedule struct {
	LogicalID string
	Name      string
	// ARN is the schedule's, or the rule's.
	ARN string
	// Rule reports whether it is a rule of EventBridge, from a Schedule event. Otherwise
	// it is a schedule of EventBridge Scheduler, from a ScheduleV2 event.
	Rule bool
	// Function is the logical id.
	Function string
	// Expression is one that package expression accepts for a rule or a schedule.
	Expression string
	// Timezone is the IANA name of the expression's time zone; "UTC" for rules.
	Timezone string
	// Input is the event as JSON; empty for EventBridge's own event.
	Input   string
	Enabled bool
	// Start and End bound the occurrences, both included; zero for no bound.
	Start, End time.Time
	Line       int
}

// Function returns the function with a logical id.
func (t *Template) Function(logicalID string) (Function, bool) {
	for _, f := range t.Functions {
		if f.LogicalID == logicalID {
			return f, true
		}
	}
	return Function{}, false
}

// Table returns the table with a logical id.
func (t *Template) Table(logicalID string) (Table, bool) {
	for _, table := range t.Tables {
		if table.LogicalID == logicalID {
			return table, true
		}
	}
	return Table{}, false
}

// Queue returns the queue with a logical id.
func (t *Template) Queue(logicalID string) (Queue, bool) {
	for _, q := range t.Queues {
		if q.LogicalID == logicalID {
			return q, true
		}
	}
	return Queue{}, false
}
