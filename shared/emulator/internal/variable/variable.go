// Package variable has Lambda's rules for the names of a function's environment
// variables.
package variable

import (
	"regexp"
	"slices"
)

// name is the pattern of the API's type Environment.
var name = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]+$`)

// Valid tells whether Lambda takes a text for a name.
func Valid(text string) bool { return name.MatchString(text) }

// reserved are those of "Defined runtime environment variables", and the one that makes
// aws-lambda-go poll in parallel, which only Lambda Managed Instances set.
//
//nolint:gochecknoglobals // a table, never written
var reserved = []string{
	"_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV",
	"AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION",
	"AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME",
	"AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
	"AWS_LAMBDA_RUNTIME_API", "AWS_LAMBDA_MAX_CONCURRENCY", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
}

// Reserved tells whether a variable is Lambda's own, which a function can't set.
func Reserved(text string) bool { return slices.Contains(reserved, text) }
